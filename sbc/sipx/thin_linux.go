package sipx

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// front is what stands in front of a socket: its program without thinning, to
// be written anew when that changes.
type front struct {
	mu    sync.Mutex
	write func(thinning) ([]unix.SockFilter, error) // nil: there is no filter
	now   thinning
}

func (f *front) set(s *udpSocket, write func(thinning) ([]unix.SockFilter, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	ins, err := write(f.now)
	if errors.Is(err, errFilterFull) && f.now != allIn { // who is known goes before
		f.now = allIn
		ins, err = write(f.now)
	}
	if err == nil {
		err = s.filter(ins)
	}
	if err == nil {
		f.write = write
	}
	return err
}

func (f *front) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.write = nil
}

// thin changes the share of new calls that is let in. Without a filter it cannot.
func (s *udpSocket) thin(t thinning) error {
	f := &s.front
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.write == nil {
		f.now = allIn
		if t == allIn {
			return nil
		}
		return errors.ErrUnsupported
	}
	ins, err := f.write(t)
	if err == nil {
		err = s.filter(ins)
	}
	if err == nil {
		f.now = t
	}
	return err
}

// thin writes what drops a part of new calls, the same ones when they come again
// ([Thinned] says of which). Only an INVITE for a long user is a new call for certain: our own Contact in its Request-URI may be a
// dialog, a short user may be a call for help, and so may what is not a SIP URI
// that begins with letters and digits only.
func (p *filter) thin(t thinning) {
	if t.pass >= whole {
		return
	}
	const method, scheme = udpHeader, udpHeader + 7
	on, sips, user := p.label(), p.label(), p.label()
	p.do(unix.BPF_LD|unix.BPF_W|unix.BPF_LEN, 0)
	p.unless(unix.BPF_JGE, udpHeader+thinBytes, on)
	p.load(unix.BPF_W, method)
	p.unless(unix.BPF_JEQ, word("INVI"), on)
	p.load(unix.BPF_H, method+4)
	p.unless(unix.BPF_JEQ, word("TE"), on)
	p.load(unix.BPF_B, method+6)
	p.unless(unix.BPF_JEQ, ' ', on)
	p.load(unix.BPF_W, scheme)
	p.do(unix.BPF_LDX|unix.BPF_IMM, scheme+4)
	p.when(unix.BPF_JEQ, word("sip:"), user)
	p.when(unix.BPF_JEQ, word("sips"), sips)
	p.jump(on)
	p.place(sips)
	p.load(unix.BPF_B, scheme+4)
	p.do(unix.BPF_LDX|unix.BPF_IMM, scheme+5)
	p.unless(unix.BPF_JEQ, ':', on)

	p.place(user) // X is where it begins
	other := p.label()
	p.do(unix.BPF_LD|unix.BPF_W|unix.BPF_IND, 0)
	p.unless(unix.BPF_JEQ, word(dialogUser[:4]), other)
	p.do(unix.BPF_LD|unix.BPF_W|unix.BPF_IND, 4)
	p.when(unix.BPF_JEQ, word(dialogUser[4:]), on)
	p.place(other)
	for i := range uint32(t.short + 1) {
		next := p.label()
		p.do(unix.BPF_LD|unix.BPF_B|unix.BPF_IND, i)
		if i == 0 {
			p.when(unix.BPF_JEQ, '+', next)
		}
		p.unless(unix.BPF_JGE, '0', on)
		p.unless(unix.BPF_JGT, '9', next)
		p.do(unix.BPF_ALU|unix.BPF_OR|unix.BPF_K, 0x20)
		p.unless(unix.BPF_JGE, 'a', on)
		p.when(unix.BPF_JGT, 'z', on)
		p.place(next)
	}
	p.hash(t.seed)
	p.unless(unix.BPF_JGT, t.pass, on)
	p.do(unix.BPF_RET|unix.BPF_K, 0)
	p.place(on)
}

// hash makes a number of the seed, the first octets of the message, and of what
// follows every fourth word. A hop that puts long fields in front of its Via would
// have all its calls taken for one otherwise.
func (p *filter) hash(seed uint32) {
	const odd = 0x85ebca6b
	p.do(unix.BPF_LDX|unix.BPF_IMM, seed)
	for at := uint32(0); at < hashed; at += 4 {
		p.mix(at)
	}
	done := p.label()
	for at := uint32(hashed); at < sampled; at += sampleGroup {
		p.do(unix.BPF_LD|unix.BPF_W|unix.BPF_LEN, 0)
		p.unless(unix.BPF_JGE, udpHeader+at+sampleGroup, done)
		for word := uint32(0); word < sampleGroup; word += 16 {
			p.mix(at + word)
		}
	}
	p.place(done)
	p.do(unix.BPF_MISC|unix.BPF_TXA, 0)
	p.do(unix.BPF_ALU|unix.BPF_RSH|unix.BPF_K, 15)
	p.do(unix.BPF_ALU|unix.BPF_XOR|unix.BPF_X, 0)
	p.do(unix.BPF_ALU|unix.BPF_MUL|unix.BPF_K, odd)
	p.do(unix.BPF_MISC|unix.BPF_TAX, 0)
	p.do(unix.BPF_ALU|unix.BPF_RSH|unix.BPF_K, 16)
	p.do(unix.BPF_ALU|unix.BPF_XOR|unix.BPF_X, 0)
}

// mix adds a word of the message to the number in X. No difference is lost in it:
// the factor is odd.
func (p *filter) mix(at uint32) {
	const odd = 0x9e3779b1
	p.load(unix.BPF_W, udpHeader+at)
	p.do(unix.BPF_ALU|unix.BPF_ADD|unix.BPF_X, 0)
	p.do(unix.BPF_ALU|unix.BPF_MUL|unix.BPF_K, odd)
	p.do(unix.BPF_MISC|unix.BPF_TAX, 0)
}

// word is what a load of up to four octets gives.
func word(s string) (w uint32) {
	for i := range len(s) {
		w = w<<8 | uint32(s[i])
	}
	return w
}
