package sdp

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

// Keys of the examples in RFC 4568 §4.1, §5.1.1 and §6.1.
const (
	rfcKey1 = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
	rfcKey2 = "NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"
	rfcKey3 = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR"
)

func b64(n int, fill byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, n))
}

func TestParseCrypto(t *testing.T) {
	for _, c := range []struct {
		in       string
		tag      int
		suite    string
		lifetime uint64
		mki      []byte
	}{
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1 + "|2^20|1:4", 1, CM80, 1 << 20, []byte{0, 0, 0, 1}},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey3 + "|2^20|1:32", 1, CM80, 1 << 20, append(make([]byte, 31), 1)},
		{"2 AES_CM_128_HMAC_SHA1_32 inline:" + rfcKey2 + "|2^20", 2, CM32, 1 << 20, nil},
		{"1 AES_CM_128_HMAC_SHA1_32 inline:" + rfcKey2 + "|1048576|66051:4", 1, CM32, 1048576, []byte{0, 1, 2, 3}},
		{"999999999 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1 + "|258:2", 999999999, CM80, 0, []byte{1, 2}},
		{"0 aes_cm_128_hmac_sha1_80 INLINE:" + rfcKey1, 0, CM80, 0, nil},
		{"1  AES_CM_128_HMAC_SHA1_80\tinline:" + rfcKey1 + " WSH=64 -foo=bar KDR=0", 1, CM80, 0, nil},
		{"3 AEAD_AES_256_GCM inline:" + b64(44, 7), 3, GCM256, 0, nil},
		{"3 AEAD_AES_256_GCM inline:" + strings.TrimRight(b64(44, 7), "="), 3, GCM256, 0, nil},
		{"4 AEAD_AES_128_GCM inline:" + b64(28, 7) + "|2^48", 4, GCM128, 1 << 48, nil},
		{"4 AEAD_AES_128_GCM inline:" + strings.TrimRight(b64(28, 7), "=") + "=", 4, GCM128, 0, nil},
		{"1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1 + ";", 1, CM80, 0, nil},
	} {
		got, err := parseCrypto(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		k := got.keys
		nk, ns := suiteSize(c.suite)
		if got.tag != c.tag || k.Suite != c.suite || k.Lifetime != c.lifetime || !bytes.Equal(k.MKI, c.mki) || len(k.Key) != nk || len(k.Salt) != ns {
			t.Errorf("%s: got tag %d, %s, lifetime %d, MKI %x, %d+%d bytes", c.in, got.tag, k.Suite, k.Lifetime, k.MKI, len(k.Key), len(k.Salt))
		}
		// What we write of it can be read again.
		again, err := parseCrypto(got.attr().Value)
		if err != nil || !again.keys.sameKey(k) || again.tag != c.tag {
			t.Errorf("%s: does not survive writing: %v", c.in, err)
		}
	}
	k, _ := parseCrypto("1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1)
	if string(k.keys.Key)+string(k.keys.Salt) != "YS___semctl () {\t220;}\n}\nunles" {
		t.Errorf("key of RFC 4568 reads as %q", string(k.keys.Key)+string(k.keys.Salt))
	}
}

func TestParseCryptoUnusable(t *testing.T) {
	good := "1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1
	for _, in := range []string{
		"", "1", "1 AES_CM_128_HMAC_SHA1_80",
		"x AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1,
		"01 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1,
		"-1 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1,
		"1000000000 AES_CM_128_HMAC_SHA1_80 inline:" + rfcKey1,
		"1 F8_128_HMAC_SHA1_80 inline:" + rfcKey1,
		"1 NULL inline:" + rfcKey1,
		"1 AES_CM_128_HMAC_SHA1_80 uri:" + rfcKey1,
		"1 AES_CM_128_HMAC_SHA1_80 inline",
		"1 AES_CM_128_HMAC_SHA1_80 inline:",
		"1 AES_CM_128_HMAC_SHA1_80 inline:!!!!",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + b64(29, 1),
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + b64(44, 1),
		"1 AEAD_AES_256_GCM inline:" + rfcKey1,
		"1 AEAD_AES_128_GCM inline:" + b64(30, 1),
		"1 AES_CM_128_HMAC_SHA1_80 inline:" + b64(30, 0),
		good + "|", good + "|0", good + "|2^49", good + "|2^", good + "|-5", good + "|281474976710657",
		good + "|1:0", good + "|1:129", good + "|x:4", good + "|256:1", good + "|:4", good + "|1:",
		good + "|2^20|1:4|9", good + "|1:4|2^20", good + "|2^20|",
		good + "|1:4;inline:" + rfcKey2 + "|2:4",
		good + " UNENCRYPTED_SRTP", good + " UNENCRYPTED_SRTCP", good + " UNAUTHENTICATED_SRTP",
		good + " unencrypted_srtp", good + " KDR=1", good + " KDR=24", good + " KDR=25", good + " KDR=", good + " KDR",
		good + " WSH=63", good + " WSH=x", good + " WSH=64 WSH=64", good + " KDR=0 kdr=0",
		good + " FEC_ORDER=FEC_SRTP", good + " FEC_KEY=inline:" + rfcKey2, good + " foo=bar",
	} {
		c, err := parseCrypto(in)
		if err == nil {
			t.Errorf("%q is usable: %v", in, c.keys)
		} else if strings.Contains(err.Error(), rfcKey1[:8]) {
			t.Errorf("%q: the error shows key material: %v", in, err)
		}
	}
}

func TestChoose(t *testing.T) {
	lines := []Attr{
		value("crypto", "1 AES_CM_128_HMAC_SHA1_32 inline:"+rfcKey1),
		value("crypto", "2 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey2+" UNENCRYPTED_SRTP"),
		value("crypto", "3 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey2),
		value("crypto", "4 AES_CM_128_HMAC_SHA1_80 inline:"+rfcKey3),
		value("crypto", "5 AEAD_AES_128_GCM inline:"+b64(28, 9)),
		flag("sendrecv"),
	}
	cs, err := readCryptos(lines)
	if err != nil || cs.seen != 5 || len(cs.usable) != 4 || !strings.Contains(cs.why, "UNENCRYPTED") {
		t.Fatalf("read %+v, %v", cs, err)
	}
	second := cs.usable[2].keys
	for _, c := range []struct {
		suites  Suites
		current *Keys
		tag     int
	}{
		{nil, nil, 5},
		{Suites{CM80, GCM128}, nil, 3},
		{Suites{CM32}, nil, 1},
		{Suites{GCM256}, nil, -1},
		{nil, second, 4}, // the key in use wins over preference
		{nil, &Keys{Suite: CM80, Key: Secret(b64(16, 3)), Salt: second.Salt}, 5},
	} {
		got := cs.choose(c.suites, c.current)
		if got == nil && c.tag != -1 || got != nil && got.tag != c.tag {
			t.Errorf("%v, current %v: got %+v, want tag %d", c.suites, c.current, got, c.tag)
		}
	}
	if _, err := readCryptos(append(lines, lines[0])); err == nil {
		t.Error("a tag that comes twice is accepted")
	}
}

func TestSuitesCheck(t *testing.T) {
	for s, ok := range map[string]bool{
		"": true, GCM256 + " " + CM32: true, "AES_CM_256_HMAC_SHA1_80": false, CM80 + " " + CM80: false, "aead_aes_256_gcm": false,
	} {
		if err := Suites(strings.Fields(s)).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestNewKeys(t *testing.T) {
	seen := map[string]bool{}
	for range 8 {
		for _, s := range []string{GCM256, GCM128, CM80, CM32} {
			k, err := newKeys(s, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if seen[string(k.Key)] || seen[string(k.Salt)] {
				t.Fatal("a key came twice")
			}
			seen[string(k.Key)], seen[string(k.Salt)] = true, true
		}
	}
	if _, err := newKeys("NULL", rand.Reader); err == nil {
		t.Error("keys for an unknown suite")
	}
	if _, err := newKeys(CM80, bytes.NewReader(make([]byte, 29))); err == nil {
		t.Error("keys from too little randomness")
	}
}

// TestKeysDoNotPrint tries every way a value ends in a log.
func TestKeysDoNotPrint(t *testing.T) {
	key, salt := "KEYKEYKEYKEYKEYK", "SALTSALTSALTSA"
	k := &Keys{Suite: CM80, Key: Secret(key), Salt: Secret(salt)}
	a := newCall(t)
	a.start(t)
	a.legA.Agreed[0].Send, a.legA.Agreed[0].Recv = k, k
	sess, err := Parse(crlf(minimal + "a=" + crypto{1, k}.attr().Name + ":" + crypto{1, k}.attr().Value))
	if err != nil {
		t.Fatal(err)
	}
	off, err := ReadOffer(phoneLeg(), savpOffer(crypto{1, k}.attr().Value))
	if err != nil {
		t.Fatal(err)
	}
	ans := &Answer{offer: off, keys: []pair{{k, k}}, lines: off.lines}
	legs := *a.legA
	for _, v := range []any{k, *k, k.Key, []Secret{k.Key}, legs, &legs, legs.Agreed, legs.Agreed[0], &legs.Agreed[0], sess, *sess, off, *off, ans, *ans,
		map[string]any{"leg": &legs, "keys": *k}} {
		var b bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		if _, isMap := v.(map[string]any); !isMap {
			if _, isSlice := v.([]Line); !isSlice {
				if _, isSlice := v.([]Secret); !isSlice {
					slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
				}
			}
		}
		out := b.String()
		for _, raw := range []string{key, salt} {
			for _, form := range []string{raw, fmt.Sprintf("%x", raw), fmt.Sprint([]byte(raw))[1:20], base64.StdEncoding.EncodeToString([]byte(raw))[:16], fmt.Sprintf("%#v", []byte(raw))[7:30]} {
				if strings.Contains(out, form) {
					t.Errorf("%T prints its key as %q:\n%s", v, form, out)
				}
			}
		}
	}
}

func TestLegJSON(t *testing.T) {
	c := newCall(t)
	c.start(t)
	c.legA.Agreed[0].Recv.MKI = []byte{0, 1}
	for _, leg := range []*Leg{c.legA, c.legB, {}, {Policy: SRTPOff, TolerateRTP: true, OfferMux: true, Suites: Suites{CM32}}} {
		b, err := json.Marshal(leg)
		if err != nil {
			t.Fatal(err)
		}
		var got Leg
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if !reflect.DeepEqual(&got, leg) {
			t.Errorf("%s\ngot  %#v\nwant %#v", b, got, *leg)
		}
	}
	b, _ := json.Marshal(c.legB)
	for _, want := range []string{`"policy":"off"`, `"payloads":[0,8,101]`, `"rtp":"10.0.0.5:30000"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
	for _, bad := range []string{`{"policy":"none"}`, `{"policy":3}`, `{"lines":[{"direction":"up"}]}`} {
		if err := json.Unmarshal([]byte(bad), new(Leg)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	if _, err := json.Marshal(&Leg{Policy: 9}); err == nil {
		t.Error("an unknown policy is written")
	}
	// An absent policy is the strict one.
	var empty Leg
	if err := json.Unmarshal([]byte(`{}`), &empty); err != nil || empty.Policy != SRTPRequired {
		t.Errorf("empty leg: %v, %v", empty.Policy, err)
	}
}

func TestRefusalIsError(t *testing.T) {
	_, err := ReadOffer(phoneLeg(), []byte("v=0\r\n\x00"))
	var r *Refusal
	var pe *ParseError
	if !errors.As(err, &r) || r.Status != 400 || !errors.As(err, &pe) || pe.Line != 2 {
		t.Errorf("got %v", err)
	}
}
