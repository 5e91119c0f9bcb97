package sipx

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A socket filter (socket(7), SO_ATTACH_FILTER) drops datagrams in the kernel
// before they take room in the receive buffer or wake anybody. It needs no
// privileges. It sees the datagram from its UDP header on, and by negative
// offsets the IP header and what the kernel knows of it.
const (
	udpHeader = 8
	fromNet   = 0xfff00000 // SKF_NET_OFF: counted from the IP header
	askProto  = 0xfffff000 // SKF_AD_OFF + SKF_AD_PROTOCOL
	askRandom = 0xfffff038 // SKF_AD_OFF + SKF_AD_RANDOM
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	whole     = 0xffffffff // ret: take all of it

	// junkSample is of how many datagrams of junk one is let in, so that the
	// gateway knows that there are, and from where.
	junkSample = 1024
	// maxFilter is how many instructions a filter may have (BPF_MAXINSNS): room
	// for about 1,200 addresses. Older kernels have memory for half of it
	// (net.core.optmem_max) and say so.
	maxFilter = 4096
)

// filter is a program being written. Jumps go to labels, forward only.
type filter struct {
	ins    []unix.SockFilter
	jumps  map[int]label // of unconditional jumps
	placed []int         // by label
}

type label int

func (p *filter) label() label {
	p.placed = append(p.placed, -1)
	return label(len(p.placed) - 1)
}

func (p *filter) place(l label) { p.placed[l] = len(p.ins) }

func (p *filter) do(code uint16, k uint32) {
	p.ins = append(p.ins, unix.SockFilter{Code: code, K: k})
}

func (p *filter) load(size uint16, at uint32) { p.do(unix.BPF_LD|unix.BPF_ABS|size, at) }

func (p *filter) jump(to label) {
	p.jumps[len(p.ins)] = to
	p.do(unix.BPF_JMP|unix.BPF_JA, 0)
}

// when jumps if A compares with k, else goes on. Conditional jumps reach 255
// instructions only, so they just leap over a far one.
func (p *filter) when(compare uint16, k uint32, to label) {
	p.ins = append(p.ins, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | compare, K: k, Jt: 0, Jf: 1})
	p.jump(to)
}

// unless is when with the opposite condition.
func (p *filter) unless(compare uint16, k uint32, to label) {
	p.ins = append(p.ins, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | compare, K: k, Jt: 1, Jf: 0})
	p.jump(to)
}

// oneIn lets a random one of n (a power of two) through to take.
func (p *filter) oneIn(n uint32, take, drop label) {
	p.load(unix.BPF_W, askRandom)
	p.do(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, n-1)
	p.when(unix.BPF_JEQ, 0, take)
	p.jump(drop)
}

// end finishes the program.
func (p *filter) end() ([]unix.SockFilter, error) {
	if len(p.ins) > maxFilter {
		return nil, errFilterFull
	}
	for at, l := range p.jumps {
		p.ins[at].K = uint32(p.placed[l] - at - 1)
	}
	return p.ins, nil
}

var errFilterFull = errors.New("too many addresses for a socket filter")

// shape writes what every public socket drops: what cannot begin as mayBeSIP
// wants it. It is never stricter than that, and does not look for the end of
// the first line. largest is the longest message taken, in octets.
func (p *filter) shape(largest int) {
	take, drop, junk, small, gap := p.label(), p.label(), p.label(), p.label(), p.label()
	p.do(unix.BPF_LD|unix.BPF_W|unix.BPF_LEN, 0)
	p.unless(unix.BPF_JGT, udpHeader+keepAliveMax, small)
	p.when(unix.BPF_JGT, uint32(udpHeader+largest), junk)
	for i := range uint32(maxMethod + 1) { // a token, or SIP/2.0, up to its space
		p.load(unix.BPF_B, udpHeader+i)
		p.ins = append(p.ins, // by hand, as there are many: on to the next, the gap, or junk
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | unix.BPF_JGT, K: ' ', Jt: 0, Jf: 1},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | unix.BPF_JGE, K: 0x7f, Jt: 3, Jf: 4},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | unix.BPF_JEQ, K: ' ', Jt: 0, Jf: 2},
			unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_IMM, K: i})
		p.jump(gap)
		p.jump(junk)
	}
	p.jump(junk)

	p.place(gap) // X is where; behind it a URI or a status code begins
	digit := p.label()
	p.do(unix.BPF_LD|unix.BPF_B|unix.BPF_IND, udpHeader+1)
	p.unless(unix.BPF_JGT, '9', digit)
	p.when(unix.BPF_JEQ, '<', take)
	p.do(unix.BPF_ALU|unix.BPF_OR|unix.BPF_K, 0x20)
	p.unless(unix.BPF_JGE, 'a', junk)
	p.unless(unix.BPF_JGT, 'z', take)
	p.jump(junk)
	p.place(digit)
	p.when(unix.BPF_JEQ, ' ', take)
	p.unless(unix.BPF_JGE, '0', junk)
	p.load(unix.BPF_B, udpHeader)
	p.do(unix.BPF_ALU|unix.BPF_OR|unix.BPF_K, 0x20)
	p.when(unix.BPF_JEQ, 's', take)
	p.jump(junk)

	p.place(small) // a keep-alive, or a runt
	p.do(unix.BPF_LD|unix.BPF_W|unix.BPF_LEN, 0)
	p.unless(unix.BPF_JGT, udpHeader, take)
	p.load(unix.BPF_B, udpHeader)
	for _, c := range []uint32{'\r', '\n', 0} {
		p.when(unix.BPF_JEQ, c, take)
	}
	p.place(junk)
	p.oneIn(junkSample, take, drop)
	p.place(take)
	p.do(unix.BPF_RET|unix.BPF_K, whole)
	p.place(drop)
	p.do(unix.BPF_RET|unix.BPF_K, 0)
}

// shapeFilter is the program of every public socket.
func shapeFilter(largest int, t thinning) ([]unix.SockFilter, error) {
	p := filter{jumps: map[int]label{}}
	p.thin(t)
	p.shape(largest)
	return p.end()
}

// siegeFilter lets in what known sends, and a random one in n of the rest. Of
// both it drops what shape does. IPv6 is looked at by /64.
func siegeFilter(largest int, known []netip.Prefix, n uint32, t thinning) ([]unix.SockFilter, error) {
	p := filter{jumps: map[int]label{}}
	k := knownSpans(known)
	inside, outside, four, six, drop := p.label(), p.label(), p.label(), p.label(), p.label()
	p.load(unix.BPF_W, askProto)
	p.when(unix.BPF_JEQ, etherIPv4, four)
	p.when(unix.BPF_JEQ, etherIPv6, six)
	p.jump(outside)
	p.place(four)
	p.load(unix.BPF_W, fromNet+12)
	p.search(k.four, func(int) label { return inside }, outside)
	p.place(six)
	p.load(unix.BPF_W, fromNet+8)
	lower := make([]label, len(k.six))
	for i := range lower {
		if lower[i] = inside; k.six[i].low != nil {
			lower[i] = p.label()
		}
	}
	upper := make([]span, len(k.six))
	for i := range upper {
		upper[i] = k.six[i].span
	}
	p.search(upper, func(i int) label { return lower[i] }, outside)
	for i, l := range lower {
		if l != inside {
			p.place(l)
			p.load(unix.BPF_W, fromNet+12)
			p.search(k.six[i].low, func(int) label { return inside }, outside)
		}
	}
	p.place(outside)
	p.oneIn(n, inside, drop)
	p.place(drop)
	p.do(unix.BPF_RET|unix.BPF_K, 0)
	p.place(inside)
	p.thin(t)
	p.shape(largest)
	return p.end()
}

// search jumps by which span has A: halving down to a few, then one by one.
func (p *filter) search(spans []span, hit func(i int) label, miss label) {
	p.halve(spans, 0, hit, miss)
}

func (p *filter) halve(spans []span, at int, hit func(i int) label, miss label) {
	if len(spans) > 4 {
		half := len(spans) / 2
		right := p.label()
		p.when(unix.BPF_JGE, spans[half].lo, right)
		p.halve(spans[:half], at, hit, miss)
		p.place(right)
		p.halve(spans[half:], at+half, hit, miss)
		return
	}
	for i, s := range spans {
		if s.lo == s.hi {
			p.when(unix.BPF_JEQ, s.lo, hit(at+i))
			continue
		}
		p.unless(unix.BPF_JGE, s.lo, miss) // they are in order
		p.unless(unix.BPF_JGT, s.hi, hit(at+i))
	}
	p.jump(miss)
}

// shape puts the filter of every public socket in front of it.
func (s *udpSocket) shape(largest int) error {
	return s.front.set(s, func(t thinning) ([]unix.SockFilter, error) { return shapeFilter(largest, t) })
}

// siege lets in what known sends, and one in n of the rest.
func (s *udpSocket) siege(largest int, known []netip.Prefix, n uint32) error {
	return s.front.set(s, func(t thinning) ([]unix.SockFilter, error) { return siegeFilter(largest, known, n, t) })
}

// filter puts a program in front of the socket, in place of the one there.
func (s *udpSocket) filter(ins []unix.SockFilter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	prog := unix.SockFprog{Len: uint16(len(ins)), Filter: unsafe.SliceData(ins)}
	if err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return fmt.Errorf("socket filter: %w", err)
	}
	return nil
}

// unfilter takes it away.
func (s *udpSocket) unfilter() error {
	s.front.forget()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("socket filter: %w", err)
	}
	return nil
}
