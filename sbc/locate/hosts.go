package locate

import (
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// watched is a file that is read again when it has changed; looked at once a
// second at most.
type watched struct {
	path string

	mu     sync.Mutex
	looked time.Time
	mod    time.Time
	size   int64
}

// changed is called with mu held.
func (w *watched) changed() bool {
	if time.Since(w.looked) < time.Second {
		return false
	}
	w.looked = time.Now()
	st, err := os.Stat(w.path)
	if err != nil || st.ModTime().Equal(w.mod) && st.Size() == w.size {
		return false
	}
	w.mod, w.size = st.ModTime(), st.Size()
	return true
}

// maxHostsFile is how much of /etc/hosts is read.
const maxHostsFile = 1 << 20

// hostsFile is /etc/hosts: what stands there comes before the DNS.
type hostsFile struct {
	file  watched
	names map[string][]netip.Addr
}

func (h *hostsFile) of(name string) []netip.Addr {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	h.file.mu.Lock()
	defer h.file.mu.Unlock()
	if h.file.changed() {
		if b, err := os.ReadFile(h.file.path); err == nil {
			h.names = parseHosts(string(b[:min(len(b), maxHostsFile)]))
		}
	}
	if as := h.names[name]; len(as) > 0 {
		return as
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761 §6.3
		return []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return nil
}

func parseHosts(text string) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil {
			continue
		}
		for _, n := range f[1:] {
			n = strings.ToLower(strings.TrimSuffix(n, "."))
			if len(out[n]) < maxAddrs {
				out[n] = append(out[n], a.Unmap().WithZone(""))
			}
		}
	}
	return out
}
