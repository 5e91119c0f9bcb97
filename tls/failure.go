package tls

import (
	"context"
	cryptotls "crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"
)

// Describe gives what alerts, CDRs and rules say about a connection: version
// ("1.2", "1.3", empty before the handshake), the suite's IANA name, and the
// subject of the other end's certificate, printable and capped, empty without one.
func Describe(state cryptotls.ConnectionState) (version, cipher, subject string) {
	switch state.Version {
	case 0:
		return "", "", ""
	case cryptotls.VersionTLS12:
		version = "1.2"
	case cryptotls.VersionTLS13:
		version = "1.3"
	default:
		version = cryptotls.VersionName(state.Version)
	}
	if len(state.PeerCertificates) > 0 {
		subject = clean(state.PeerCertificates[0].Subject.String())
	}
	if state.CipherSuite != 0 { // none was agreed on when a handshake failed
		cipher = cryptotls.CipherSuiteName(state.CipherSuite)
	}
	return version, cipher, subject
}

// Failure classifies why a handshake failed: a closed set, fit for a metric's
// label.
type Failure string

const (
	FailPlaintext   Failure = "plaintext"   // spoke plain text to the TLS port
	FailVersion     Failure = "version"     // no common protocol version
	FailSuite       Failure = "suite"       // no common cipher suite
	FailCertificate Failure = "certificate" // we refused their certificate: *CertificateError
	FailRefused     Failure = "refused"     // they refused ours
	FailTimeout     Failure = "timeout"     // did not finish in time
	FailClosed      Failure = "closed"      // went away
	FailProtocol    Failure = "protocol"    // everything else: garbage, broken stacks
)

// Plaintext tells whether a handshake failed because the other end spoke plain
// text, and gives the first five bytes of it, all printable or CR, LF, tab.
// Other garbage is [FailProtocol].
func Plaintext(err error) (first []byte, ok bool) {
	var rh cryptotls.RecordHeaderError
	if !errors.As(err, &rh) {
		return nil, false
	}
	for _, c := range rh.RecordHeader {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' && c != '\t' {
			return nil, false
		}
	}
	return rh.RecordHeader[:], true
}

// Classify tells what kind of failure a handshake error is; "" for nil.
// crypto/tls has no types for most of its errors, so this reads their text;
// the tests hold it against real handshakes.
func Classify(err error) Failure {
	if err == nil {
		return ""
	}
	var (
		ce *CertificateError
		cv *cryptotls.CertificateVerificationError
		xe x509.UnknownAuthorityError
		ne net.Error
	)
	if _, ok := Plaintext(err); ok {
		return FailPlaintext
	}
	if errors.As(err, &ce) || errors.As(err, &cv) || errors.As(err, &xe) {
		return FailCertificate
	}
	if alert, ok := remoteAlert(err); ok {
		return byAlert(alert)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		(errors.As(err, &ne) && ne.Timeout()) {
		return FailTimeout
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, context.Canceled) {
		return FailClosed
	}
	switch text := err.Error(); {
	case strings.Contains(text, "unsupported versions"), strings.Contains(text, "unsupported protocol version"),
		strings.Contains(text, "unsupported SSLv2"):
		return FailVersion
	case strings.Contains(text, "no cipher suite supported"):
		return FailSuite
	}
	return FailProtocol
}

// remoteAlert gives the number of the alert that the other end sent. The type
// is not exported by crypto/tls, but it is a uint8 and the number is RFC 8446's.
func remoteAlert(err error) (uint8, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0, false
	}
	if v := reflect.ValueOf(op.Err); v.IsValid() && v.Kind() == reflect.Uint8 {
		return uint8(v.Uint()), true
	}
	return 0, false
}

// byAlert maps the alerts of RFC 8446 §6.2.
func byAlert(a uint8) Failure {
	switch a {
	case 0, 90: // close_notify, user_canceled
		return FailClosed
	case 40, 71: // handshake_failure, insufficient_security: with our suites this is nearly always no common one
		return FailSuite
	case 42, 43, 44, 45, 46, 48, 49, 112, 113, 116:
		return FailRefused
	case 70: // protocol_version
		return FailVersion
	}
	return FailProtocol
}
