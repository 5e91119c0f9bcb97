package sipx

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// slowReply builds the same with the library's own headers. The To tag is added to every response but
// 100 (RFC 3261 §8.2.6.2).
func slowReply(r *Request, code int, reason, toTag string, hs []HeaderField, body []byte) *sip.Response {
	res := sip.NewResponse(code, reason)
	res.SipVersion = "SIP/2.0"
	for i, h := range r.msg.GetHeaders("Via") {
		v, ok := h.(*sip.ViaHeader)
		if !ok {
			res.AppendHeader(sip.HeaderClone(h))
			continue
		}
		v = v.Clone()
		if i == 0 {
			// A client's own idea of where it was received from never stays.
			src := r.Flow.Remote
			v.Params.Add("received", src.Addr().WithZone("").String())
			if v.Params.Has("rport") {
				v.Params.Add("rport", strconv.Itoa(int(src.Port())))
			}
		}
		// The parser takes the brackets off and puts them back only around what
		// is not v4-mapped.
		if a, err := netip.ParseAddr(v.Host); err == nil && a.Is4In6() {
			v.Host = "[" + v.Host + "]"
		}
		res.AppendHeader(v)
	}
	if code > 100 && code < 300 && r.Method() == "INVITE" {
		// The proxies on the way stay in the dialog (RFC 3261 §12.1.1).
		for _, h := range r.msg.GetHeaders("Record-Route") {
			res.AppendHeader(sip.HeaderClone(h))
		}
	}
	res.AppendHeader(sip.HeaderClone(r.msg.From()))
	to := sip.HeaderClone(r.msg.To()).(*sip.ToHeader)
	if code != 100 && !to.Params.Has("tag") {
		to.Params.Add("tag", toTag)
	}
	res.AppendHeader(to)
	res.AppendHeader(sip.HeaderClone(r.msg.CallID()))
	res.AppendHeader(sip.HeaderClone(r.msg.CSeq()))
	if code == 100 {
		if ts := r.Header("Timestamp"); ts != "" {
			res.AppendHeader(sip.NewHeader("Timestamp", ts))
		}
	}
	for _, h := range hs {
		if !h.safe() {
			continue // the answer must go out; see Out.safe
		}
		res.AppendHeader(sip.NewHeader(h.Name, h.Value))
	}
	res.SetBody(body)
	return res
}

// TestReply compares what is written with what the library writes.
func TestReply(t *testing.T) {
	const rest = "From: \"A, \\\"b\\\"\" <sip:a;x=1@h:5070;transport=udp>;tag=t;y=z\r\nTo: <sip:b@h>%TAG%\r\nCall-ID: c@h\r\nCSeq: 17 %METHOD%\r\n" +
		"Record-Route: <sip:p1;lr>, <sip:[2001:db8::1]:5061;lr>\r\nRecord-Route: <sip:p2;lr;x=y>\r\nContact: <sip:a@h>\r\nTimestamp: 54 0.5\r\nContent-Length: 0\r\n\r\n"
	vias := []string{
		"SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1;rport",
		"SIP/2.0/TLS [2001:db8::1];received=9.9.9.9;rport=77;branch=z9hG4bK1",
		"SIP/2.0/UDP [::ffff:1.2.3.4]:5060;branch=z9hG4bK1",
		"SIP/2.0/UDP h.example;branch=z9hG4bK1\r\nVia: SIP/2.0/TCP p.example:5080;branch=z9hG4bK2;received=1.2.3.4;lonely, SIP/2.0/TCP [2001:db8::2]:5080;branch=z9hG4bK3;rport=5",
	}
	remotes := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.9:5099"), netip.MustParseAddrPort("[fe80::1%eth0]:5099")}
	hs := []HeaderField{{"Contact", "<sip:gw>"}, {"Bad", "a\r\nb"}, {"", "x"}, {"Allow", Allow}}
	parser := sip.NewParser()
	for _, via := range vias {
		for _, remote := range remotes {
			for _, method := range []string{"INVITE", "BYE"} {
				for _, tag := range []string{"", ";tag=theirs"} {
					raw := expand(method+" sip:b@h SIP/2.0\r\nVia: "+via+"\r\nMax-Forwards: 70\r\n"+rest, method, tag)
					n, bad := Check([]byte(raw), false, Limits{})
					if bad != nil {
						t.Fatalf("%v\n%q", bad, raw)
					}
					m, err := parser.ParseSIP(Tidy([]byte(raw)[:n]))
					if err != nil {
						t.Fatal(err)
					}
					r := &Request{message: message{Flow: &Flow{Transport: "udp", Remote: remote}}, msg: m.(*sip.Request)}
					for _, code := range []int{100, 180, 200, 403} {
						for _, body := range [][]byte{nil, {}, []byte("v=0\r\n")} {
							got, want := r.reply(code, "Some Words", "ours", hs, body), slowReply(r, code, "Some Words", "ours", hs, body).String()
							if string(got) != want {
								t.Errorf("%d:\n%q\nby the library\n%q", code, got, want)
							}
						}
					}
				}
			}
		}
	}
}

func expand(raw, method, tag string) string {
	return strings.NewReplacer("%METHOD%", method, "%TAG%", tag).Replace(raw)
}
