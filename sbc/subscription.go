package sbc

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/sbc/notice"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// subscription is a dialog made by SUBSCRIBE (RFC 6665), or by a REFER
// outside of a call: one leg with who subscribed, one with who notifies.
//
//	asked ─2xx or NOTIFY▶ active ─Expires: 0, terminated, 481, expiry▶ gone
//
// Its lock serialises what the two ends send; nothing waits under it.
type subscription struct {
	g     *Gateway
	event event
	user  string // whose it is, for the cap

	mu      sync.Mutex
	ends    [2]leg // subscriber, notifier; plain data but for the flows
	expires time.Time
	asked   time.Duration // what the subscriber asked for last
	over    bool
	keys    []subscriptionKey // guarded by subscriptions.mu
}

const (
	subscriber = 0
	notifier   = 1
)

// begun takes the subscriber's end when its transaction has begun: NOTIFY may
// come before the answer.
func (u *subscription) begun(p *relay) {
	u.mu.Lock()
	defer u.mu.Unlock()
	x := &u.ends[subscriber]
	x.dialog = p.r.Accept(p.tx.ToTag(), p.r.Flow.ContactURI(sipx.ContactUser))
	u.asked = asked(p.r)
	u.g.subs.index(u, subscriber, p.a.Side, &x.dialog)
}

// asked is the duration a SUBSCRIBE asks for.
func asked(r *sipx.Request) time.Duration { return parseSeconds(r.Header("Expires"), time.Hour) }

// sent takes the notifier's end when the request goes out to it.
func (u *subscription) sent(from, to leg) {
	u.mu.Lock()
	defer u.mu.Unlock()
	from.dialog = u.ends[subscriber].dialog
	u.ends = [2]leg{from, to}
	u.g.subs.index(u, notifier, to.side, &u.ends[notifier].dialog)
}

// accepted is the 2xx to the first request.
func (u *subscription) accepted(res *sipx.Response) {
	if res == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	x := &u.ends[notifier]
	if x.dialog.RemoteTag == "" && res.ToTag() != "" {
		x.dialog.Established(res)
	}
	if u.event.pack == "refer" {
		u.expires = time.Now().Add(u.g.cfg.SetupTimeout + answerTime)
		return
	}
	u.granted(res)
}

// granted notes until when it stands; u.mu is held.
func (u *subscription) granted(res *sipx.Response) {
	u.expires = time.Now().Add(parseSeconds(res.Header("Expires"), u.asked) + answerTime)
}

// take gets a request inside the subscription. It is called from a reading
// goroutine.
func (u *subscription) take(end int, r *sipx.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	x, y := &u.ends[end], &u.ends[1-end]
	if !u.g.fits(x, r.Flow) || u.over || y.dialog.CallID == "" {
		r.Refuse(481, nil)
		return
	}
	if known := x.dialog.RemoteTag; known != "" && known != r.FromTag() {
		r.Refuse(481, nil) // another fork: the first one has it (RFC 6665 §4.4.1)
		return
	}
	switch m := r.Method(); {
	case m == "NOTIFY" && end == notifier, m == "SUBSCRIBE" && end == subscriber:
	default:
		r.Refuse(405, []sipx.HeaderField{{Name: "Allow", Value: []string{"SUBSCRIBE", "NOTIFY"}[end]}})
		return
	}
	if bad := r.UnsupportedTags(); len(bad) > 0 {
		u.g.badExtension(r)
		return
	}
	if !mayForward(r) {
		r.Refuse(483, nil)
		return
	}
	tx := r.Begin()
	if tx == nil {
		return
	}
	if x.dialog.RemoteTag == "" {
		// A NOTIFY makes the dialog (RFC 6665 §4.4.1); with it comes the way back.
		in := r.Accept(x.dialog.LocalTag, x.dialog.Contact)
		x.dialog.RemoteTag, x.dialog.Routes = in.RemoteTag, in.Routes
		x.dialog.RemoteSeq = r.CSeq()
	} else if x.dialog.RemoteSeq != 0 && !x.dialog.InOrder(r.CSeq()) {
		tx.Respond(500, "", "", nil, nil)
		return
	}
	x.dialog.RemoteSeq = r.CSeq()
	if c, ok := r.Contact(); ok {
		x.dialog.Refresh(c)
	}
	if x.kind == call.Phone {
		x.flow = r.Flow // the newest connection is where it is reached
	}
	x.unasked(tx)
	if end == notifier {
		u.notify(x, y, r, tx)
		return
	}
	u.refresh(x, y, r, tx)
}

// notify carries a NOTIFY; u.mu is held.
func (u *subscription) notify(x, y *leg, r *sipx.Request, tx *sipx.ServerTx) {
	refuse := func(code int, hs ...sipx.HeaderField) { tx.Respond(code, "", "", hs, nil) }
	e, ok := readEvent(r.Header("Event"))
	state := subscriptionState(r.Header("Subscription-State"))
	switch {
	case !ok || state == "":
		refuse(400)
		return
	case e.pack != u.event.pack || e.id != u.event.id && u.event.pack != "refer":
		refuse(489, allowEvents)
		return
	}
	hs := []sipx.HeaderField{{Name: "Event", Value: u.event.String()}, {Name: "Subscription-State", Value: state}}
	b, ct, code := u.body(x, y, r)
	if code != 0 {
		refuse(code, bodyRefusal(code, []string{ct})...)
		return
	}
	if b != nil {
		hs = append(hs, sipx.HeaderField{Name: "Content-Type", Value: ct})
	}
	now := time.Now()
	over := strings.HasPrefix(state, "terminated")
	switch {
	case over:
		u.over = true
		u.g.subs.end(u)
	case u.event.pack != "refer":
		if _, v, ok := strings.Cut(state, "expires="); ok {
			v, _, _ = strings.Cut(v, ";")
			u.expires = now.Add(parseSeconds(v, u.asked) + answerTime)
		}
	}
	o := y.dialog.Request("NOTIFY", 0, append(withoutContent(tidyReasons(r.Carry(y.side))), hs...), b)
	o.MaxForwards = r.MaxForwards() - 1
	u.send(y, o, func(out sipx.Outcome) {
		code := 0
		var hs []sipx.HeaderField
		switch {
		case out.Err != nil:
			code = 480 // the notifier gives up (RFC 6665 §4.2.2)
		case out.Res.Code() < 200:
			return
		default:
			code = out.Res.Code()
			if code >= 300 && code < 400 || code == 401 || code == 407 {
				code = 403
			}
			for _, h := range withoutContent(tidyReasons(out.Res.Carry(x.side))) {
				if !strings.HasSuffix(h.Name, "-Authenticate") {
					hs = append(hs, h)
				}
			}
		}
		if code == 480 || code == 481 {
			u.g.subs.end(u)
		}
		tx.Respond(code, "", "", hs, nil)
	})
}

// body rewrites what a NOTIFY says.
func (u *subscription) body(x, y *leg, r *sipx.Request) (b []byte, contentType string, code int) {
	if u.event.pack != "refer" {
		contentType = eventTypes[u.event.pack]
		b, code = crossing{u.g, x, y}.content(r, contentType)
		return b, contentType, code
	}
	if len(r.Body()) == 0 {
		return nil, notice.Sipfrag, 0
	}
	if r.ContentType() != notice.Sipfrag {
		return nil, notice.Sipfrag, 415
	}
	line, ok := notice.StatusLine(r.Body())
	if !ok {
		return nil, notice.Sipfrag, 400
	}
	return line, notice.Sipfrag + ";version=2.0", 0
}

// refresh carries a SUBSCRIBE inside the dialog; u.mu is held.
func (u *subscription) refresh(x, y *leg, r *sipx.Request, tx *sipx.ServerTx) {
	refuse := func(code int, hs ...sipx.HeaderField) { tx.Respond(code, "", "", hs, nil) }
	e, ok := readEvent(r.Header("Event"))
	switch {
	case !ok:
		refuse(400)
		return
	case e.pack != u.event.pack || e.id != u.event.id:
		refuse(489, allowEvents) // one subscription to a dialog
		return
	case y.dialog.RemoteTag == "":
		refuse(500, sipx.HeaderField{Name: "Retry-After", Value: "1"}) // too early
		return
	}
	ct := eventTypes[u.event.pack]
	b, code := crossing{u.g, x, y}.content(r, ct)
	if code != 0 {
		refuse(code, bodyRefusal(code, []string{ct})...)
		return
	}
	hs := []sipx.HeaderField{{Name: "Event", Value: u.event.String()}}
	if ct != "" {
		hs = append(hs, sipx.HeaderField{Name: "Accept", Value: ct})
	}
	if b != nil {
		hs = append(hs, sipx.HeaderField{Name: "Content-Type", Value: ct})
	}
	wanted, contact := asked(r), x.dialog.Contact
	o := y.dialog.Request("SUBSCRIBE", 0, append(withoutContent(tidyReasons(r.Carry(y.side))), hs...), b)
	o.MaxForwards = r.MaxForwards() - 1
	side := x.side
	u.send(y, o, func(out sipx.Outcome) {
		if out.Err != nil {
			tx.Respond(504, "", "", nil, nil)
			return
		}
		code := out.Res.Code()
		if code < 200 {
			return
		}
		var hs []sipx.HeaderField
		for _, h := range withoutContent(tidyReasons(out.Res.Carry(side))) {
			if strings.HasSuffix(h.Name, "-Authenticate") && code != 401 && code != 407 {
				continue
			}
			if h.Name == "Expires" {
				h.Value = clamped(h.Value)
			}
			hs = append(hs, h)
		}
		switch {
		case code < 300:
			hs = append(hs, sipx.HeaderField{Name: "Contact", Value: "<" + contact + ">"})
			u.refreshed(out.Res, wanted)
		case code < 400:
			code = 480
		case code == 404 || code == 481 || code == 489 || code == 604:
			u.g.subs.end(u) // RFC 6665 §4.1.2.2
		case (code == 401 || code == 407) && side == call.Inside:
			code = 403
		}
		tx.Respond(code, "", "", hs, nil)
	})
}

func (u *subscription) refreshed(res *sipx.Response, wanted time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = wanted
	u.granted(res)
	if c, ok := res.Contact(); ok {
		u.ends[notifier].dialog.Refresh(c)
	}
}

// send puts a request on a leg's flow; where that has gone, a child connects
// again. u.mu is held.
func (u *subscription) send(x *leg, o *sipx.Out, done func(sipx.Outcome)) {
	if x.flow != nil && x.flow.Alive() {
		if _, err := u.g.stack.Send(x.flow, o, done); err == nil {
			return
		}
	}
	connect := x.connect
	go func() {
		ctx, cancel := context.WithTimeout(u.g.ctx, 6*time.Second)
		defer cancel()
		f, err := connect(ctx)
		if err == nil {
			u.mu.Lock()
			x.flow = f
			u.mu.Unlock()
			_, err = u.g.stack.Send(f, o, done)
		}
		if err != nil {
			done(sipx.Outcome{Err: err})
		}
	}()
}
