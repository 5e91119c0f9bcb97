package sipx

import (
	"strconv"
	"strings"
	"time"
)

// Reliable is a provisional response that is repeated until it is
// acknowledged (RFC 3262 §3): after T1, 2·T1, 4·T1 …, over streams too, for
// 64·T1 or until the INVITE has its final response.
type Reliable struct {
	tx       *ServerTx
	b        []byte
	timer    *time.Timer
	interval time.Duration
	deadline time.Time
	over     bool
	lost     func()
}

// RespondReliably sends a provisional response that way. The caller gives it
// RSeq and Require. lost is called once, from a timer goroutine, when nobody
// acknowledged it.
func (tx *ServerTx) RespondReliably(code int, tag string, hs []HeaderField, body []byte, lost func()) *Reliable {
	r := &Reliable{tx: tx, interval: tx.stack.cfg.T1, deadline: time.Now().Add(64 * tx.stack.cfg.T1), lost: lost}
	r.b = tx.req.reply(code, reasonPhrase(code), tag, hs, body)
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.state != txProceeding {
		r.over = true
		return r
	}
	tx.last, tx.code = r.b, code
	if tx.trying { // no 100 is needed any more
		tx.trying = false
		tx.timer.Stop()
	}
	tx.stack.sendResponse(tx.req, r.b)
	r.arm()
	return r
}

// arm is called with the transaction's mu held.
func (r *Reliable) arm() {
	d := min(r.interval, time.Until(r.deadline))
	r.timer = time.AfterFunc(max(d, 0), func() { r.tx.stack.safely("reliable provisional response", r.tick) })
}

func (r *Reliable) tick() {
	r.tx.mu.Lock()
	if r.over || r.tx.state != txProceeding {
		r.tx.mu.Unlock()
		return
	}
	if !time.Now().Before(r.deadline) {
		r.over = true
		r.tx.mu.Unlock()
		r.lost()
		return
	}
	defer r.tx.mu.Unlock()
	r.tx.stack.Stats.Retransmits.Add(1)
	r.tx.stack.sendResponse(r.tx.req, r.b)
	r.interval *= 2 // not bounded by T2
	r.arm()
}

// Acknowledged ends the repetition: its PRACK came.
func (r *Reliable) Acknowledged() {
	r.tx.mu.Lock()
	defer r.tx.mu.Unlock()
	r.over = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

// RSeq is the number of a provisional response that must be acknowledged;
// false for one that need not.
func (r *Response) RSeq() (uint32, bool) {
	if r.Code() <= 100 || r.Code() >= 200 {
		return 0, false
	}
	for _, t := range tokens(r.Headers("Require")) {
		if t == "100rel" {
			n, err := strconv.ParseUint(strings.TrimSpace(r.Header("RSeq")), 10, 32)
			return uint32(n), err == nil && n > 0
		}
	}
	return 0, false
}

// RAck says which response a PRACK acknowledges (RFC 3262 §7.2).
func (r *Request) RAck() (rseq, cseq uint32, method string, ok bool) {
	f := strings.Fields(r.Header("RAck"))
	if len(f) != 3 {
		return 0, 0, "", false
	}
	a, err1 := strconv.ParseUint(f[0], 10, 32)
	b, err2 := strconv.ParseUint(f[1], 10, 32)
	return uint32(a), uint32(b), f[2], err1 == nil && err2 == nil
}

// Without100rel takes the tag out of Supported or Require: where a response
// of B's would have to be acknowledged that nobody is there to acknowledge.
func Without100rel(hs []HeaderField) (out []HeaderField) {
	for _, h := range hs {
		if h.Name == "Require" || h.Name == "Supported" {
			var keep []string
			for _, t := range tokens([]string{h.Value}) {
				if t != "100rel" {
					keep = append(keep, t)
				}
			}
			if h.Value = strings.Join(keep, ", "); h.Value == "" {
				continue
			}
		}
		out = append(out, h)
	}
	return out
}

// AllowWith is our Allow towards one side of a call, given that of the other:
// UPDATE works only where both ends know it (RFC 3311 §4).
func AllowWith(other []string) string {
	for _, m := range tokens(other) {
		if m == "update" {
			return Allow
		}
	}
	return strings.Replace(Allow, ", UPDATE", "", 1)
}
