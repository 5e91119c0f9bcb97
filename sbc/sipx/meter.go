package sipx

import (
	"errors"
	"net"
)

// A stranger pays for the octets that he sends, not only for the messages that
// they make: keep-alives, a message that never ends, records of one octet each
// and messages that are cut into crumbs cost reading, decryption and another
// look at all that has come, too.
//
// What a whole message costs covers its own octets. A connection that sends
// what people send never owes more than meterSlack, and pays for its messages
// alone.

const (
	meterSlack = readBuffer // octets that may be owed
	meterRead  = 128        // what reading costs at least, in octets
	// A handshake may bring this much: the hello and a chain of certificates.
	// crypto/tls itself takes ten times as much from anybody.
	mostHandshake = 64 << 10
)

// meter is what one connection owes. Its reader owns it.
type meter struct {
	wire *wireConn // under TLS
	seen int       // of what it read
	owed int
}

// read notes what one read brought; n octets where there is no TLS.
func (m *meter) read(n int) {
	if m.wire != nil {
		n, m.seen = m.wire.got-m.seen, m.wire.got
	}
	m.owed += max(n, meterRead)
}

// message is what a whole message of so many octets still has to pay.
func (m *meter) message(size int) (due int) {
	due = min(size, m.owed)
	m.owed -= due
	return due
}

// due is what has to be paid now, 0 mostly.
func (m *meter) due() (due int) {
	if m.owed > meterSlack {
		due, m.owed = m.owed, 0
	}
	return due
}

// wireConn counts what comes from the socket below TLS. One goroutine reads.
type wireConn struct {
	net.Conn
	got  int
	most int // ends the connection while it is not 0
}

var errHandshakeSize = errors.New("handshake too large")

func (w *wireConn) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if w.got += n; w.most > 0 && w.got > w.most {
		return 0, errHandshakeSize
	}
	return n, err
}

// handshaken: from now on the meter counts, without the handshake's octets.
func (w *wireConn) handshaken() *meter {
	w.most = 0
	return &meter{wire: w, seen: w.got}
}
