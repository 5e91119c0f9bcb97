package main

import (
	"crypto/md5"
	cryptotls "crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	rtls "github.com/rampart-sbc/rampart/tls"
)

func writeTree(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tcpTable is the kernel's table with one listening socket.
func tcpTable(t *testing.T, at string, inode int) string {
	t.Helper()
	ap := netip.MustParseAddrPort(at)
	a := ap.Addr().As4()
	return "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		fmt.Sprintf("   0: %02X%02X%02X%02X:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 %d 1 0000000000000000 100 0 0 10 0\n",
			a[3], a[2], a[1], a[0], ap.Port(), inode)
}

func md5Of(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// serveTLS answers whatever comes with a 200.
func serveTLS(l net.Listener, s *rtls.Store) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			tc := cryptotls.Server(c, s.Server(rtls.Options{}))
			if n, err := tc.Read(make([]byte, 4096)); n == 0 || err != nil {
				return
			}
			tc.Write([]byte("SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"))
		}()
	}
}
