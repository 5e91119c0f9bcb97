package notice

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// plain maps everything to what is easy to find; hosts with a dot in them are
// of the other side.
type plain struct{}

func (plain) URI(v string) (string, bool) {
	scheme, rest, ok := strings.Cut(v, ":")
	user, _, _ := strings.Cut(rest, "@")
	if !ok || strings.ContainsAny(user, ". ") {
		return "", false
	}
	return scheme + ":" + user + "@here", true
}
func (plain) Dialog(id, local, remote string) (string, string, string) {
	for _, p := range []*string{&id, &local, &remote} {
		if *p != "" {
			*p = "m" + strings.ReplaceAll(*p, ".", "_")
		}
	}
	return id, local, remote
}
func (plain) ID(v string) string { return "id" }

const head = `<?xml version="1.0" encoding="UTF-8"?>` + "\r\n"

func TestRewrite(t *testing.T) {
	for _, x := range []struct{ name, kind, in, want string }{
		{"lines and unknown parts", DialogInfo, `<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="3" state="partial" entity="sip:1@a.b" x="10.0.0.1"><!-- 10.0.0.1 -->` +
			`<dialog id="7" call-id="c@10.0.0.1" local-tag="l" direction="initiator"><state event="replaced" code="200">terminated</state><duration>12</duration>` +
			`<x/><remote><cseq>1</cseq></remote></dialog><dialog/></dialog-info>`,
			`<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="3" state="partial" entity="sip:1@here">` +
				`<dialog id="id" call-id="mc@10_0_0_1" local-tag="ml" direction="initiator"><state event="replaced" code="200">terminated</state><duration>12</duration>` +
				`<remote></remote></dialog></dialog-info>`},
		{"prefixes of the sender", PIDF, `<q:presence xmlns:q="urn:ietf:params:xml:ns:pidf" xmlns:w="urn:ietf:params:xml:ns:pidf:data-model" entity="pres:1@a.b">` +
			`<q:tuple id="t"><q:status><q:basic>closed</q:basic><q:basic>10.0.0.1</q:basic></q:status><q:note>lunch &lt;b&gt;</q:note></q:tuple><w:person id="p"><w:device/></w:person></q:presence>`,
			`<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="pres:1@here">` +
				`<tuple id="id"><status><basic>closed</basic></status><note>lunch &lt;b&gt;</note></tuple><dm:person id="id"></dm:person></presence>`},
		{"a conference", ConferenceInfo, `<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sip:c@a.b" state="full" version="1"><conference-description><free-text>10.0.0.1</free-text>` +
			`<conf-uris><entry><uri>sip:c@10.0.0.1</uri></entry></conf-uris><maximum-user-count>9</maximum-user-count></conference-description><users><user entity="sip:1@10.0.0.1" state="full">` +
			`<display-text>A</display-text><endpoint entity="sip:1@10.0.0.1:5060"><status>connected</status><media id="1"><type>audio</type><src-id>1</src-id></media></endpoint></user></users></conference-info>`,
			`<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sip:c@here" state="full" version="1"><conference-description><maximum-user-count>9</maximum-user-count></conference-description>` +
				`<users><user entity="sip:1@here" state="full"><display-text>A</display-text><endpoint entity="id"><status>connected</status><media id="id"><type>audio</type></media></endpoint></user></users></conference-info>`},
		{"do not disturb", FeatureEvent, `<SetDoNotDisturb xmlns="http://www.ecma-international.org/standards/ecma-323/csta/ed3"><device></device><doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>`,
			`<SetDoNotDisturb xmlns="http://www.ecma-international.org/standards/ecma-323/csta/ed3"><device></device><doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>`},
		{"forwarding", FeatureEvent, `<ForwardingEvent xmlns="http://www.ecma-international.org/standards/ecma-323/csta/ed3"><device>1001</device><forwardingType>forwardBusy</forwardingType>` +
			`<forwardTo>sip:2@10.0.0.1</forwardTo><forwardDN>10.0.0.1</forwardDN><ringCount>4</ringCount></ForwardingEvent>`,
			`<ForwardingEvent xmlns="http://www.ecma-international.org/standards/ecma-323/csta/ed3"><device>1001</device><forwardingType>forwardBusy</forwardingType>` +
				`<forwardTo>sip:2@here</forwardTo><ringCount>4</ringCount></ForwardingEvent>`},
	} {
		got, err := Rewrite(x.kind, []byte(x.in), plain{})
		if err != nil || string(got) != head+x.want+"\r\n" {
			t.Errorf("%s: %v\n got %s\nwant %s", x.name, err, got, x.want)
		}
	}
}

func TestRefused(t *testing.T) {
	ns := ` xmlns="urn:ietf:params:xml:ns:pidf"`
	deep := strings.Repeat("<tuple id='a'>", maxDepth) + strings.Repeat("</tuple>", maxDepth)
	for name, in := range map[string]string{
		"nothing":                  "",
		"no XML":                   "hello",
		"another root":             `<tuple` + ns + ` id="x"/>`,
		"another namespace":        `<presence entity="sip:1@x"/>`,
		"no entity":                `<presence` + ns + `/>`,
		"an entity of no kind":     `<presence` + ns + ` entity="10.0.0.1"/>`,
		"not closed":               `<presence` + ns + ` entity="sip:1@x">`,
		"two roots":                `<presence` + ns + ` entity="sip:1@x"/><presence` + ns + ` entity="sip:1@x"/>`,
		"text behind":              `<presence` + ns + ` entity="sip:1@x"/>x`,
		"an entity of its own":     `<!DOCTYPE p [<!ENTITY e "x">]><presence` + ns + ` entity="sip:1@x"><note>&e;</note></presence>`,
		"an unknown entity":        `<presence` + ns + ` entity="sip:1@x"><note>&e;</note></presence>`,
		"a processing instruction": `<?xml-stylesheet href="http://x"?><presence` + ns + ` entity="sip:1@x"/>`,
		"another encoding":         `<?xml version="1.0" encoding="UTF-16"?><presence` + ns + ` entity="sip:1@x"/>`,
		"too deep":                 `<presence` + ns + ` entity="sip:1@x">` + deep + `</presence>`,
		"too many elements":        `<presence` + ns + ` entity="sip:1@x">` + strings.Repeat("<x/>", maxElements) + `</presence>`,
		"too large":                `<presence` + ns + ` entity="sip:1@x">` + strings.Repeat(" ", MaxSize) + `</presence>`,
	} {
		if out, err := Rewrite(PIDF, []byte(in), plain{}); err == nil {
			t.Errorf("%s: written as %s", name, out)
		}
	}
	if _, err := Rewrite("text/xml", nil, plain{}); !errors.Is(err, ErrType) {
		t.Errorf("unknown type: %v", err)
	}
	for _, in := range []string{"", "x", "Voice-Message: 1/2\r\n", "Messages-Waiting: maybe\r\n", "Messages-Waiting: yes\r\nMessages-Waiting: no\r\n"} {
		if out, err := Rewrite(MessageSummary, []byte(in), plain{}); err == nil {
			t.Errorf("summary %q: written as %q", in, out)
		}
	}
}

func TestSummary(t *testing.T) {
	in := "Messages-Waiting:yes\nMessage-Account: sip:1@10.0.0.1\r\nfax-message: 1/0\r\nVoice-Message: at 10.0.0.1\r\nX: 10.0.0.1\r\n\r\nFrom: 10.0.0.1\r\n"
	got, err := Rewrite(MessageSummary, []byte(in), plain{})
	if want := "Messages-Waiting: yes\r\nMessage-Account: sip:1@here\r\nFax-Message: 1/0\r\n"; err != nil || string(got) != want {
		t.Errorf("%q %v", got, err)
	}
}

func TestStatusLine(t *testing.T) {
	for in, want := range map[string]string{
		"SIP/2.0 200 OK": "SIP/2.0 200 OK\r\n",
		"SIP/2.0 486 Busy Here\r\nContact: x\r\n": "SIP/2.0 486 Busy Here\r\n",
		"SIP/2.0 404 10.0.0.1 knows nobody":       "SIP/2.0 404 Failure\r\n",
		"SIP/2.0 180":                             "SIP/2.0 180 Trying\r\n",
		"SIP/2.0 2000 OK":                         "",
		"SIP/2.0 700 X":                           "",
		"INVITE sip:x SIP/2.0":                    "",
		"":                                        "",
		"SIP/2.0 503 " + strings.Repeat("x", 70):  "SIP/2.0 503 Failure\r\n",
		"SIP/2.0 200 OK <sip:1@10.0.0.1>\nRoute: y\r\n": "SIP/2.0 200 OK\r\n",
	} {
		got, ok := StatusLine([]byte(in))
		if ok != (want != "") || string(got) != want {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
}

// FuzzRewrite: what is written is well-formed, and reads the same when it is
// written again; a host of the other side is in no attribute and no text but
// what people write.
func FuzzRewrite(f *testing.F) {
	kinds := []string{DialogInfo, PIDF, ConferenceInfo, FeatureEvent, IsComposing, MessageSummary}
	f.Add(0, `<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full" entity="sip:1@10.0.0.1"><dialog id="10.0.0.1" call-id="10.0.0.1"><state>early</state></dialog></dialog-info>`)
	f.Add(1, `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:1@10.0.0.1"><tuple id="t"><status><basic>open</basic></status></tuple></presence>`)
	f.Add(5, "Messages-Waiting: yes\r\nMessage-Account: sip:10.0.0.1\r\n")
	f.Fuzz(func(t *testing.T, kind int, in string) {
		k := kinds[uint(kind)%uint(len(kinds))]
		out, err := Rewrite(k, []byte(in), plain{})
		if err != nil {
			return
		}
		if k == MessageSummary {
			if strings.Contains(string(out), "10.0.0.1") {
				t.Fatalf("%q in %q", "10.0.0.1", out)
			}
			return
		}
		d := xml.NewDecoder(strings.NewReader(string(out)))
		where := ""
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			switch tok := tok.(type) {
			case xml.StartElement:
				where = tok.Name.Local
				for _, a := range tok.Attr {
					if a.Name.Local != "display" && strings.Contains(a.Value, "10.0.0.1") {
						t.Fatalf("%s=%q in %s", a.Name.Local, a.Value, out)
					}
				}
			case xml.CharData:
				switch where {
				case "note", "display-text", "subject":
				default:
					if strings.Contains(string(tok), "10.0.0.1") {
						t.Fatalf("%q in %s", tok, where)
					}
				}
			}
		}
		if _, err := Rewrite(k, out, plain{}); err != nil {
			t.Fatalf("again: %v of %s", err, out)
		}
	})
}
