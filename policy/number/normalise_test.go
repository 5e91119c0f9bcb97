package number_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/rampart-sbc/rampart/call"
	"github.com/rampart-sbc/rampart/policy/number"
)

func plan(t testing.TB, h number.Home) *number.Plan {
	t.Helper()
	p, err := number.Compile(h, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func show(n number.Number) string {
	s := strings.TrimRight(strings.Join([]string{n.Kind.String(), n.Canonical, n.Country, n.Class}, " "), " ")
	if n.Other != nil {
		s += " or " + n.Other.Canonical
	}
	return s
}

var zero = "0"

var (
	nowhere = number.Home{}
	paris   = number.Home{Country: "FR", Emergency: []string{"112", "15", "17", "18"}}
	outside = number.Home{Country: "FR", International: []string{"00"}, National: &zero, Extensions: "^[1-9][0-9]{2,4}$",
		Emergency: []string{"112", "15", "17", "18"}, OutsidePrefix: "0"}
	boston = number.Home{Country: "US"}
	berlin = number.Home{Country: "DE"}
	madrid = number.Home{Country: "ES"}
	rome   = number.Home{Country: "IT"}
	kgston = number.Home{Country: "JM"}
	brasil = number.Home{Country: "BR"}
	tech   = number.Home{Country: "FR", TechPrefixes: []string{"1234", "99#"}}

	deOutside   = number.Home{Country: "DE", OutsidePrefix: "0"}
	noSelection = number.Home{Country: "DE", CarrierSelection: []string{}}
)

func TestNormalise(t *testing.T) {
	const jamaica = "international +18765550100 JM mobile"
	const london = "international +442079460000 GB fixed"
	for _, c := range []struct {
		name string
		home number.Home
		in   number.Context
		text string
		want string
	}{
		// No home: "+", "00", 112, urn:service:sos, extensions.
		{"plus", nowhere, number.Dialled, "+442079460000", london},
		{"00", nowhere, number.Dialled, "00442079460000", london},
		{"no trunk prefix without a home", nowhere, number.Dialled, "0123456789", "invalid"},
		{"extension", nowhere, number.Dialled, "1001", "extension 1001"},
		{"112", nowhere, number.Dialled, "112", "emergency 112"},
		{"urn", nowhere, number.Dialled, "urn:service:sos", "emergency urn:service:sos"},
		{"urn under sos", nowhere, number.Dialled, "URN:Service:SOS.Fire", "emergency urn:service:sos.fire"},
		{"urn beside sos", nowhere, number.Dialled, "urn:service:sosx", "invalid"},
		{"urn with what no label has", nowhere, number.Dialled, "urn:service:sos.fire%20", "invalid"},
		{"another urn", nowhere, number.Dialled, "urn:service:counseling", "invalid"},

		// One number, every spelling.
		{"tel", paris, number.Dialled, "tel:+18765550100", jamaica},
		{"sip", paris, number.Dialled, "sip:+18765550100@example.com;user=phone", jamaica},
		{"sips, upper case", paris, number.Dialled, "SIPS:%2B18765550100@example.com", jamaica},
		{"password", paris, number.Dialled, "sip:0018765550100:secret@example.com", jamaica},
		{"escaped plus", paris, number.Dialled, "%2B18765550100", jamaica},
		{"escaped digits", paris, number.Dialled, "%30%301876%35550100", jamaica},
		{"separators", paris, number.Dialled, "+1 (876) 555-01.00", jamaica},
		{"escaped separators", paris, number.Dialled, "00%201876%2D5550100", jamaica},
		{"full width", paris, number.Dialled, "＋１８７６５５５０１００", jamaica},
		{"full width, escaped", paris, number.Dialled, "%EF%BC%8B%EF%BC%918765550100", jamaica},
		{"arabic-indic", paris, number.Dialled, "٠٠١٨٧٦٥٥٥٠١٠٠", jamaica},
		{"invisible", paris, number.Dialled, "00\u200b18765\u00ad550100", jamaica},
		{"isub", paris, number.Dialled, "+18765550100;isub=1234", jamaica},
		{"postd", paris, number.Dialled, "+18765550100;postd=pp22", jamaica},
		{"ext", paris, number.Dialled, "+18765550100;ext=9", jamaica},
		{"pause", paris, number.Dialled, "0018765550100,,9", jamaica},
		{"pause letter", paris, number.Dialled, "0018765550100p9", jamaica},
		{"dial now", paris, number.Dialled, "0018765550100#", jamaica},
		{"context", paris, number.Dialled, "8765550100;phone-context=+1", jamaica},
		{"long context", paris, number.Dialled, "5550100;phone-context=%2B1876", jamaica},
		{"context with a full number", paris, number.Dialled, "+18765550100;phone-context=+33", jamaica},
		{"context against an international prefix", paris, number.Dialled, "0018765550100;phone-context=+33", jamaica},
		{"context is a domain", paris, number.Dialled, "0018765550100;phone-context=example.com", jamaica},
		{"context and its trunk prefix", paris, number.Dialled, "02079460000;phone-context=+44", london},
		{"trunk prefix after the country", paris, number.Dialled, "+44(0)2079460000", london},
		{"trunk prefixes after the country", paris, number.Dialled, "0044002079460000", london},
		{"trunk prefix of two digits", paris, number.Dialled, "+36 06 1 234 5678", "international +3612345678 HU fixed"},
		{"a zero that belongs", paris, number.Dialled, "+390612345678", "international +390612345678 IT fixed"},
		{"a zero of a long number", paris, number.Dialled, "+3903123456789", "international +3903123456789 IT fixed"},

		// What cannot be read is invalid, not guessed.
		{"double escape", paris, number.Dialled, "%252B18765550100", jamaica},
		{"cut escape", paris, number.Dialled, "%2", "invalid"},
		{"bad escape", paris, number.Dialled, "%zz123", "invalid"},
		{"escaped semicolon", paris, number.Dialled, "0018765550100%3Bext=1", jamaica},
		{"escaped at", paris, number.Dialled, "+1876%405550100", jamaica},
		{"bad UTF-8", paris, number.Dialled, "%ff18765550100", "invalid"},
		{"two contexts", paris, number.Dialled, "5550100;phone-context=+1876;phone-context=+33", "invalid"},
		{"plus in the middle", paris, number.Dialled, "00+18765550100", jamaica},
		{"two pluses", paris, number.Dialled, "++18765550100", jamaica},
		{"zeros before the country code", paris, number.Dialled, "+0018765550100", jamaica},
		{"star code", paris, number.Dialled, "*97", "invalid"},
		{"hash in the middle", paris, number.Dialled, "00#18765550100", jamaica},
		{"name", paris, number.Dialled, "alice", "invalid"},
		{"empty", paris, number.Dialled, "", "invalid"},
		{"only separators", paris, number.Dialled, "+--", "invalid"},
		{"host only", paris, number.Dialled, "sip:18765550100", "invalid"},
		{"16 digits", paris, number.Dialled, "+4912345678901234", "international +4912345678901234 DE unallocated"},
		{"superscript is no digit", paris, number.Dialled, "+1876555010²", "international +1876555010 JM unallocated"},
		{"a mark behind", paris, number.Dialled, "0018765550100!", jamaica},
		{"a NUL behind", paris, number.Dialled, "0018765550100%00x", jamaica},
		{"no UTF-8", paris, number.Dialled, "+1876%FF5550100", jamaica},
		{"quoted", paris, number.Dialled, "%22+18765550100%22", jamaica},
		{"a mark in front", paris, number.Dialled, "_0018765550100", jamaica},
		{"a mark between", paris, number.Dialled, "00=1876_555'0100", jamaica},
		{"two plus", paris, number.Dialled, "+1+8765550100", jamaica},
		{"escaped three times", paris, number.Dialled, "00%252531%2525338765550100", "international +138765550100 US unallocated"},
		{"a code and a tail", paris, number.Dialled, "*670018765550100x1", jamaica},
		{"a code and a mark", paris, number.Dialled, "*21*0018765550100!#", jamaica},
		{"tech prefix and a mark", tech, number.Dialled, "99#0018765550100!", jamaica},
		{"emergency number and a mark", paris, number.Dialled, "112!", "invalid"},
		{"escaped emergency", paris, number.Dialled, "11%2532", "invalid"},
		{"extension and a mark", paris, number.Dialled, "1001!", "invalid"},
		{"two extensions", paris, number.Dialled, "1001_1002", "invalid"},
		{"a name that holds digits", paris, number.Dialled, "2024_33123456", "invalid"},
		{"carriers get no marks", paris, number.Trunk, "0018765550100!", "invalid"},
		{"nor what is escaped twice", paris, number.Trunk, "%252B18765550100", "invalid"},
		{"too long", paris, number.Dialled, "+" + strings.Repeat("1", 300), "invalid"},
		{"code that nobody has", paris, number.Dialled, "+210123456", "international +210123456  unallocated"},

		// Prefixes that choose a carrier, tech prefixes.
		{"carrier selection", berlin, number.Dialled, "010130018765550100", jamaica},
		{"carrier selection, long", berlin, number.Dialled, "0100880018765550100", jamaica},
		{"carrier selection, national", berlin, number.Dialled, "01013030123456", "national +4930123456 DE fixed"},
		{"carrier selection behind the outside prefix", deOutside, number.Dialled, "0010130018765550100", jamaica},
		{"carrier selection in Brazil", brasil, number.Dialled, "01511961234567", "national +5511961234567 BR mobile"},
		{"carrier selection in Brazil, abroad", brasil, number.Dialled, "001518765550100", jamaica},
		{"carrier selection in America", boston, number.Dialled, "101028818765550100", jamaica},
		{"carrier selection in America, abroad", boston, number.Dialled, "1010288011442079460000", london},
		{"carrier selection on a trunk", berlin, number.Trunk, "010130018765550100", jamaica},
		{"carrier selection and plus", berlin, number.Dialled, "01013+18765550100", jamaica},
		{"no carrier selection", noSelection, number.Dialled, "010130018765550100", "national +4910130018765550100 DE unallocated"},
		{"tech prefix", tech, number.Trunk, "123418765550100", jamaica},
		{"tech prefix and an international one", tech, number.Dialled, "12340018765550100", jamaica},
		{"tech prefix and plus", tech, number.Trunk, "1234+18765550100", jamaica},
		{"tech prefix with a hash", tech, number.Trunk, "99#18765550100", jamaica},
		{"tech prefix with a hash and plus", tech, number.Trunk, "99%23%2B18765550100", jamaica},
		{"tech prefix with a hash, dial now", tech, number.Dialled, "99#0018765550100#", jamaica},
		{"tech prefix of another", tech, number.Trunk, "98#18765550100", "invalid"},
		{"tech prefix of another, dialled", tech, number.Dialled, "98#18765550100", jamaica},
		{"an extension is no tech prefix", tech, number.Dialled, "12345", "extension 12345"},
		{"tech prefix or a number", tech, number.Trunk, "1234442079460000", london},

		// Star codes, letters, pauses, plus signs.
		{"hidden caller", paris, number.Dialled, "*670018765550100", jamaica},
		{"hidden caller, GSM", paris, number.Dialled, "#31#+18765550100", jamaica},
		{"hidden caller, GSM, star", paris, number.Dialled, "*31*0018765550100#", jamaica},
		{"calls diverted abroad", paris, number.Dialled, "*21*0018765550100*11*20#", jamaica},
		{"calls diverted abroad, America", boston, number.Dialled, "*7218765550100", jamaica},
		{"a code for the carrier", paris, number.Trunk, "*670018765550100", "invalid"},
		{"a code and an emergency number", paris, number.Dialled, "*31*112", "invalid"},
		{"a code and an extension", paris, number.Dialled, "*721001", "invalid"},
		{"only keys", paris, number.Dialled, "*#06#", "invalid"},
		{"star behind the number", paris, number.Dialled, "0018765550100*22", jamaica},
		{"vanity", boston, number.Dialled, "1-800-FLOWERS", "national +18003569377 US toll_free"},
		{"vanity abroad", paris, number.Dialled, "001876555CATS", "international +18765552287 JM mobile"},
		{"vanity abroad, plus", paris, number.Dialled, "%2B1876555cats", "international +18765552287 JM mobile"},
		{"extension of the callee", paris, number.Dialled, "0018765550100x22", jamaica},
		{"letters dropped", paris, number.Dialled, "00a18765550100", jamaica},
		{"letter and digits", paris, number.Dialled, "1001a", "invalid"},
		{"conference", paris, number.Dialled, "3f2a77b1c9", "invalid"},
		{"name with a number", paris, number.Dialled, "u33123456789", "invalid"},
		{"pause before the number", paris, number.Dialled, "00,18765550100", jamaica},
		{"pause in the number", paris, number.Dialled, "00p1p8765550100", jamaica},
		{"pause behind an extension", paris, number.Dialled, "1001,,5", "extension 1001"},
		{"pause in an extension", boston, number.Dialled, "187p65550100", "extension 187 or +18765550100"},
		{"pause behind an emergency number", paris, number.Dialled, "112p0018765550100", "invalid"},
		{"pause and context", paris, number.Dialled, "8765550100,12;phone-context=+1", jamaica},
		{"plus behind the outside prefix", outside, number.Dialled, "0+18765550100", jamaica},
		{"plus far inside", paris, number.Dialled, "001876555+33123456789", "international +187655533123456789 JM unallocated or +33123456789"},
		{"digits alone", paris, number.Dialled, "18765550100", jamaica},
		{"digits alone, outside", outside, number.Dialled, "018765550100", "national +3318765550100 FR unallocated"},
		{"more digits than any number", paris, number.Dialled, "00187655501009999999999999999999999999999", "international +187655501009999999999999999999 JM unallocated"},

		// A context that others ignore.
		{"context or home", paris, number.Dialled, "0899123456;phone-context=+49", "international +49899123456 DE fixed or +33899123456"},
		{"context spelt with escapes", paris, number.Dialled, "8765550100;phone%2Dcontext=+1", jamaica},

		// France.
		{"national", paris, number.Dialled, "0123456789", "national +33123456789 FR fixed"},
		{"national in full", paris, number.Dialled, "+33123456789", "national +33123456789 FR fixed"},
		{"premium", paris, number.Dialled, "0899123456", "national +33899123456 FR premium_rate"},
		{"department abroad", paris, number.Dialled, "00590690001234", "international +590690001234 GP mobile"},
		{"15", paris, number.Dialled, "15", "emergency 15"},
		{"not the default 112 list", paris, number.Dialled, "119", "extension 119"},
		{"emergency spelt out", paris, number.Dialled, "tel:1-1-2;phone-context=+33", "emergency 112"},
		{"emergency in a domain", paris, number.Dialled, "112;phone-context=pbx.example.com", "emergency 112"},
		{"the end of a number is no emergency", paris, number.Dialled, "112;phone-context=+336123456", "national +336123456112 FR unallocated"},
		{"emergency and more", paris, number.Dialled, "1123", "extension 1123"},
		{"emergency with a country", paris, number.Dialled, "+33112", "national +33112 FR unallocated"},
		{"dialled without prefix", paris, number.Dialled, "612345678", "invalid"},
		{"trunk without prefix", paris, number.Trunk, "612345678", "national +33612345678 FR mobile"},
		{"trunk E.164 without plus", paris, number.Trunk, "18765550100", jamaica},
		{"trunk E.164 before national", berlin, number.Trunk, "442079460000", london},
		{"trunk home country without plus", berlin, number.Trunk, "4930123456", "national +4930123456 DE fixed"},
		{"trunk national first where no prefix is dialled", madrid, number.Trunk, "912345678", "national +34912345678 ES fixed"},
		{"trunk extension", paris, number.Trunk, "1001", "extension 1001"},

		// Outside prefix: taken off first, and only on what phones dial.
		{"outside national", outside, number.Dialled, "00123456789", "national +33123456789 FR fixed"},
		{"outside international", outside, number.Dialled, "00018765550100", jamaica},
		{"outside prefix forgotten", outside, number.Dialled, "0018765550100", jamaica},
		{"outside prefix forgotten, national", outside, number.Dialled, "0123456789", "national +33123456789 FR fixed"},
		{"outside emergency", outside, number.Dialled, "0112", "emergency 112"},
		{"inside emergency", outside, number.Dialled, "112", "emergency 112"},
		{"outside extension", outside, number.Dialled, "1042", "extension 1042"},
		{"plus has none", outside, number.Dialled, "+18765550100", jamaica},
		{"trunk has none", outside, number.Trunk, "0018765550100", jamaica},
		{"trunk national", outside, number.Trunk, "0123456789", "national +33123456789 FR fixed"},

		// Countries behind one code.
		{"011", boston, number.Dialled, "011442079460000", london},
		{"Jamaica is not the US", boston, number.Dialled, "18765550100", jamaica},
		{"nor without the 1", boston, number.Dialled, "8765550100", jamaica},
		{"home", boston, number.Dialled, "1-617-555-0100", "national +16175550100 US fixed_or_mobile"},
		{"home of ten digits", boston, number.Dialled, "6175550100", "national +16175550100 US fixed_or_mobile"},
		{"911", boston, number.Dialled, "911", "emergency 911"},
		{"free numbers are everybody's", kgston, number.Dialled, "18002345678", "national +18002345678 JM toll_free"},
		{"no trunk prefix", madrid, number.Dialled, "912345678", "national +34912345678 ES fixed"},
		{"Italy keeps its zero", rome, number.Dialled, "0612345678", "national +390612345678 IT fixed"},
		{"satellite", paris, number.Dialled, "00881612345678", "international +881612345678  satellite"},
		{"premium world-wide", paris, number.Dialled, "00979123456789", "international +979123456789  premium_rate"},
	} {
		p := plan(t, c.home)
		got := p.Explain(c.text, c.in)
		if show(got) != c.want {
			t.Errorf("%s: %q is %s, want %s\n\t%s", c.name, c.text, show(got), c.want, strings.Join(got.Steps, "\n\t"))
		}
		if len(got.Steps) == 0 {
			t.Errorf("%s: no steps", c.name)
		}
		quick := p.Normalise(c.text, c.in)
		if show(quick) != show(got) || quick.Steps != nil {
			t.Errorf("%s: Normalise and Explain differ", c.name)
		}
	}
}

func TestCompileNamesEveryProblem(t *testing.T) {
	bad := "x"
	_, err := number.Compile(number.Home{Country: "XX", International: []string{"+"}, National: &bad, Extensions: "(",
		Emergency: []string{"sos"}, OutsidePrefix: "a"}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"country", "international", "national", "extensions", "emergency", "outside_prefix"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

// Every country's own habits make a plan, and its example of how to dial
// abroad works.
func TestEveryHome(t *testing.T) {
	for _, c := range number.Builtin().Countries() {
		p := plan(t, number.Home{Country: c})
		if n := p.Normalise("+12125550100", number.Dialled); n.Canonical != "+12125550100" {
			t.Errorf("%s: %s", c, show(n))
		}
	}
}

func TestUnicodeDigits(t *testing.T) {
	p := plan(t, nowhere)
	rows := 0
	for r := rune(128); r <= unicode.MaxRune; r++ {
		if !unicode.Is(unicode.Nd, r) {
			continue
		}
		// A row starts where the character before is no digit or the last of ten.
		rows++
		var b strings.Builder
		b.WriteString("+1")
		for i := range 10 {
			if !unicode.Is(unicode.Nd, r+rune(i)) {
				t.Fatalf("%U: a row of fewer than ten digits", r)
			}
			b.WriteRune(r + rune(i))
		}
		if n := p.Normalise(b.String(), number.Dialled); n.Canonical != "+10123456789" {
			t.Errorf("%U: %q became %s", r, b.String(), show(n))
		}
		r += 9
	}
	if rows < 50 {
		t.Fatalf("%d rows of digits", rows)
	}
}

// respell writes a public number as an attacker would, in one of very many
// ways that a PBX may understand.
func respell(rnd *rand.Rand, e164 string) string {
	digits := e164[1:]
	head := []string{"+", "00", "%2B", "%2b", "＋", "0-0", "0 0", "%300"}[rnd.IntN(8)]
	params := []string{"", "", ";isub=1", ";ext=22", ";postd=p9", ";npdi", ";cpc=ordinary", ";phone-context=pbx.example.com"}[rnd.IntN(8)]
	if head == "+" && rnd.IntN(4) == 0 {
		cut := 1 + rnd.IntN(4)
		head, params = "", ";phone-context=+"+digits[:cut]
		digits = digits[cut:]
		if strings.HasPrefix(digits, "00") {
			return e164
		}
	}
	scripts := []rune{'0', '０', '٠', '०', '𝟎'}
	seps := []string{"-", ".", " ", "(", ")", "%20", "%2D", "\u200b", "\u00a0", "/", "‑"}
	var b strings.Builder
	b.WriteString(head)
	style := rnd.IntN(4)
	for i := range len(digits) {
		if style > 1 && rnd.IntN(4) == 0 {
			b.WriteString(seps[rnd.IntN(len(seps))])
		}
		d := digits[i]
		switch {
		case style == 3 && rnd.IntN(3) == 0:
			b.WriteRune(scripts[rnd.IntN(len(scripts))] + rune(d-'0'))
		case style > 0 && rnd.IntN(5) == 0:
			fmt.Fprintf(&b, "%%%02X", d)
		default:
			b.WriteByte(d)
		}
	}
	if rnd.IntN(8) == 0 {
		b.WriteString([]string{"#", "%23", ",12", "w5"}[rnd.IntN(4)])
	}
	b.WriteString(params)
	switch rnd.IntN(4) {
	case 0:
		return "tel:" + b.String()
	case 1:
		return "sip:" + b.String() + "@gateway.example.com;user=phone"
	}
	return b.String()
}

// A number in a denied country has one canonical form, however it is spelt.
func TestEverySpellingIsOneNumber(t *testing.T) {
	plans := []*number.Plan{plan(t, nowhere), plan(t, paris), plan(t, number.Home{Country: "DE"}), plan(t, number.Home{Country: "GB", Emergency: []string{"999"}})}
	var targets []string
	for text := range examples(t) {
		targets = append(targets, text)
	}
	slices.Sort(targets)
	rnd := rand.New(rand.NewPCG(7, 11))
	for range 60_000 {
		want := targets[rnd.IntN(len(targets))]
		text := respell(rnd, want)
		if len(text) > 200 {
			continue
		}
		got := plans[rnd.IntN(len(plans))].Normalise(text, number.Context(rnd.IntN(2)))
		if got.Canonical != want {
			t.Fatalf("%q became %s, want %s", text, show(got), want)
		}
	}
}

func TestNormaliseAllocations(t *testing.T) {
	p := plan(t, outside)
	for text, want := range map[string]float64{"+442079460000": 0, "00044 20 79460000": 1, "1001": 1, "112": 1, "alice": 0} {
		if n := testing.AllocsPerRun(100, func() { p.Normalise(text, number.Dialled) }); n > want {
			t.Errorf("%q: %v allocations, at most %v", text, n, want)
		}
	}
}

// Whatever comes in, a canonical form is well-formed and normalises to itself.
func FuzzNormalise(f *testing.F) {
	for _, s := range []string{"+442079460000", "0018765550100;phone-context=+33", "tel:%2B1", "urn:service:sos.police", "sip:1001@x", "００", "%", "112#", "*31#0018765550100", "99#+44", "1-800-FLOWERS", "187p65550100", "00+1"} {
		f.Add(s, uint8(0))
	}
	plans := []*number.Plan{plan(f, nowhere), plan(f, outside), plan(f, boston), plan(f, rome), plan(f, tech), plan(f, brasil), plan(f, deOutside)}
	f.Fuzz(func(t *testing.T, text string, which uint8) {
		p, in := plans[int(which>>1)%len(plans)], number.Context(which&1)
		n := p.Normalise(text, in)
		if (n.Kind == call.Invalid) != (n.Canonical == "") {
			t.Fatalf("%q: %s", text, show(n))
		}
		public := n.Kind == call.National || n.Kind == call.International
		if public != (n.Class != "") || public != strings.HasPrefix(n.Canonical, "+") {
			t.Fatalf("%q: %s", text, show(n))
		}
		if n.Kind == call.Invalid {
			return
		}
		digits := strings.TrimPrefix(n.Canonical, "+")
		if !strings.HasPrefix(digits, "urn:service:sos") && (strings.Trim(digits, "0123456789") != "" || len(digits) > 32) {
			t.Fatalf("%q: %s", text, show(n))
		}
		for m := &n; m != nil; m = m.Other {
			one := *m
			one.Other = nil
			again := p.Normalise(m.Canonical, in)
			again.Other = nil
			if show(again) != show(one) {
				t.Fatalf("%q is %s, and %s alone is %s", text, show(n), m.Canonical, show(again))
			}
		}
		explained := p.Explain(text, in)
		if show(explained) != show(n) || len(explained.Steps) == 0 {
			t.Fatalf("%q is %s, explained as %s %q", text, show(n), show(explained), explained.Steps)
		}
	})
}

// What is no extension by its length is not asked of the expression; what may
// be is.
func TestExtensions(t *testing.T) {
	for _, c := range []struct{ expr, yes, no string }{
		{"", "12345", "123456"},
		{"[1-9][0-9]{2,4}", "12345", "123456"},
		{"1..|2[0-9]+", "2000000000", "3000000000"},
		{"(1|22|333)?4*", "33344444", "33"},
		{"7(01|02){2}", "70102", "7010201"},
		{"[0-9]{3}|[0-9]{7,8}", "12345678", "1234"},
	} {
		p := plan(t, number.Home{Country: "FR", Extensions: c.expr})
		if n := p.Normalise(c.yes, number.Dialled); n.Kind != call.Extension {
			t.Errorf("%q: %s is %s", c.expr, c.yes, show(n))
		}
		if n := p.Normalise(c.no, number.Dialled); n.Kind == call.Extension {
			t.Errorf("%q: %s is %s", c.expr, c.no, show(n))
		}
	}
}

func BenchmarkNormalise(b *testing.B) {
	p := plan(b, paris)
	for _, text := range []string{"+18765550100", "0018765550100", "1001", "0123456789"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			var x call.Party
			for b.Loop() {
				p.Normalise(text, number.Dialled).Fill(&x)
			}
		})
	}
}
