package tls

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile bounds what is read from one file. A bundle of all public roots has
// about 250 KB.
const maxFile = 4 << 20

// ErrKeyMode is wrapped by the error about a private key that more than its
// owner can read.
var ErrKeyMode = errors.New("private key can be read by others")

// readFile reads a small regular file. It looks before it opens, because the
// open of a named pipe would wait for ever, and looks again at what it got.
func readFile(file string) ([]byte, fs.FileMode, error) {
	if fi, err := os.Stat(file); err != nil {
		return nil, 0, hint(err)
	} else if !fi.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, hint(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", file, err)
	}
	if len(b) > maxFile {
		return nil, 0, fmt.Errorf("%s is larger than %d MiB", file, maxFile>>20)
	}
	return b, fi.Mode().Perm(), nil
}

// hint adds what to do to the errors an operator meets most.
func hint(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run as the owner of the file, or give it to the user of the gateway with: chown USER %s", err, pe.Path)
	}
	return err
}

// readKey reads a PEM private key (PKCS #8, SEC 1 or PKCS #1) that only its
// owner may read. Blocks of other types are skipped: a file may hold the
// chain and its key.
func readKey(file string) (crypto.Signer, error) {
	b, mode, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("tls: key: %w", err)
	}
	if mode&0o077 != 0 {
		return nil, fmt.Errorf("tls: key %s: %w (mode %04o); fix it with: chmod 600 %s", file, ErrKeyMode, mode, file)
	}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return nil, fmt.Errorf("tls: key %s: no PEM private key in it", file)
		}
		var key any
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return nil, fmt.Errorf("tls: key %s is encrypted; store it decrypted, readable by its owner only", file)
		case block.Type == "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case block.Type == "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case block.Type == "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("tls: key %s cannot be parsed: %w", file, err)
		}
		if s, ok := key.(crypto.Signer); ok {
			return s, nil
		}
		return nil, fmt.Errorf("tls: key %s is of a kind that cannot sign", file)
	}
}

// readCerts reads all PEM certificates of a file, in order, at least one.
func readCerts(file string) ([]*x509.Certificate, error) {
	b, _, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("tls: certificate: %w", err)
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("tls: certificate %s: number %d cannot be parsed: %w", file, len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("tls: certificate %s: no PEM certificate in it", file)
	}
	return certs, nil
}

// writeFile replaces a file in one step, so that a reader or a crash sees the
// old or the new one, never a half. The temporary file is born with mode 0600:
// at no time can another user read a key.
func writeFile(file string, mode fs.FileMode, data []byte) (err error) {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, "."+filepath.Base(file)+".*")
	if err != nil {
		return hint(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", file, err)
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), file); err != nil {
		return err
	}
	// The rename itself must survive a power cut, or the next start would make
	// a second CA. Some file systems cannot sync a directory: not an error.
	if d, derr := os.Open(dir); derr == nil {
		_ = d.Sync()
		d.Close()
	}
	return nil
}

func encodeCerts(certs ...[]byte) []byte {
	var out []byte
	for _, der := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
