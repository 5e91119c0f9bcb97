package number_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/rampart-sbc/rampart/policy/number"
	"github.com/rampart-sbc/rampart/policy/number/internal/gen"
)

// The committed table is what the generator makes of the metadata.
func TestTableIsGenerated(t *testing.T) {
	want, err := gen.Build(gen.Version)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("table.bin")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Fatal("table.bin is stale: run go generate ./policy/number")
	}
	named, err := gen.Build("newer")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := number.Load(string(named)); err != nil || d.Version() != "newer" || d.Lookup("+18765550100").Country != "JM" {
		t.Fatalf("a table under another version: %v", err)
	}
}

func TestClassNamesAgreeWithGenerator(t *testing.T) {
	if got := strings.Join(number.Classes(), " "); got != strings.Join(gen.Classes, " ") {
		t.Fatalf("classes %s, generator %s", got, strings.Join(gen.Classes, " "))
	}
}

var types = map[phonenumbers.PhoneNumberType]string{
	phonenumbers.FIXED_LINE: number.Fixed, phonenumbers.MOBILE: number.Mobile,
	phonenumbers.FIXED_LINE_OR_MOBILE: number.FixedOrMobile, phonenumbers.TOLL_FREE: number.TollFree,
	phonenumbers.PREMIUM_RATE: number.PremiumRate, phonenumbers.SHARED_COST: number.SharedCost,
	phonenumbers.VOIP: number.VoIP, phonenumbers.PERSONAL_NUMBER: number.Personal, phonenumbers.PAGER: number.Pager,
	phonenumbers.UAN: number.UAN, phonenumbers.VOICEMAIL: number.Voicemail, phonenumbers.UNKNOWN: number.Unallocated,
}

func oracle(n *phonenumbers.PhoneNumber) (country, class string) {
	country = phonenumbers.GetRegionCodeForNumber(n)
	class = types[phonenumbers.GetNumberType(n)]
	if country == "001" || country == "ZZ" {
		country = ""
	}
	switch n.GetCountryCode() {
	case 212: // ours tells Western Sahara from Morocco
		if nsn := fmt.Sprint(n.GetNationalNumber()); strings.HasPrefix(nsn, "5288") || strings.HasPrefix(nsn, "5289") {
			country = "EH"
		}
	case 870, 881, 882, 883:
		if class != number.Unallocated {
			class = number.Satellite
		}
	}
	return country, class
}

func e164(n *phonenumbers.PhoneNumber) string { return phonenumbers.Format(n, phonenumbers.E164) }

func examples(t testing.TB) map[string]*phonenumbers.PhoneNumber {
	out := map[string]*phonenumbers.PhoneNumber{}
	add := func(n *phonenumbers.PhoneNumber) {
		if n != nil && phonenumbers.IsValidNumber(n) {
			out[e164(n)] = n
		}
	}
	for region := range phonenumbers.GetSupportedRegions() {
		add(phonenumbers.GetExampleNumber(region))
		for typ := range types {
			add(phonenumbers.GetExampleNumberForType(region, typ))
		}
	}
	for code := range phonenumbers.GetSupportedGlobalNetworkCallingCodes() {
		add(phonenumbers.GetExampleNumberForNonGeoEntity(code))
	}
	if len(out) < 800 {
		t.Fatalf("only %d example numbers", len(out))
	}
	return out
}

// Country and class are libphonenumber's, for its example numbers of every
// region and class.
func TestLookupAgreesOnExamples(t *testing.T) {
	d := number.Builtin()
	seen := map[string]bool{}
	for text, n := range examples(t) {
		country, class := oracle(n)
		seen[country] = true
		if got := d.Lookup(text); got.Country != country || got.Class != class {
			t.Errorf("%s: %s %s, libphonenumber says %s %s", text, got.Country, got.Class, country, class)
		}
	}
	for _, c := range d.Countries() {
		// The metadata cannot tell Saint-Martin from Guadeloupe.
		if !seen[c] && c != "MF" {
			t.Errorf("no example number of %s", c)
		}
	}
}

// The library as naive oracle on numbers near the examples: valid or not, it
// is the same answer. Country is compared where the library has one.
func TestLookupAgreesNearExamples(t *testing.T) {
	d := number.Builtin()
	rnd := rand.New(rand.NewPCG(1, 2))
	var asked, valid int
	for _, text := range slices.Sorted(maps.Keys(examples(t))) {
		for range 8 {
			b := []byte(text)
			for range 1 + rnd.IntN(3) {
				b[1+rnd.IntN(len(b)-1)] = byte('0' + rnd.IntN(10))
			}
			switch rnd.IntN(6) {
			case 0:
				b = b[:len(b)-1]
			case 1:
				b = append(b, byte('0'+rnd.IntN(10)))
			}
			code := d.Lookup(string(b)).Code
			national := strings.TrimPrefix(string(b[1:]), fmt.Sprint(code))
			if code == 0 || len(b) > number.MaxDigits+1 || strings.HasPrefix(national, "00") {
				continue
			}
			cc, nsn := int32(code), uint64(0)
			if _, err := fmt.Sscan(strings.TrimLeft(national, "0"), &nsn); err != nil {
				continue
			}
			n := &phonenumbers.PhoneNumber{CountryCode: &cc, NationalNumber: &nsn}
			if strings.HasPrefix(national, "0") {
				yes, one := true, int32(1)
				n.ItalianLeadingZero, n.NumberOfLeadingZeros = &yes, &one
			}
			country, class := oracle(n)
			got := d.Lookup(string(b))
			asked++
			if class != number.Unallocated {
				valid++
			} else if got.Class != number.Unallocated {
				// Digits behind a complete costly number do not change it.
				for short := b[:len(b)-1]; len(short) > 4; short = short[:len(short)-1] {
					if m, err := phonenumbers.Parse(string(short), ""); err == nil && e164(m) == string(short) {
						if _, class := oracle(m); class == got.Class {
							got.Class = number.Unallocated
							break
						}
					}
				}
			}
			if got.Class != class || country != "" && got.Country != country {
				t.Errorf("%s: %s %s, libphonenumber says %s %s", b, got.Country, got.Class, country, class)
			}
		}
	}
	t.Logf("%d numbers asked, %d of them exist", asked, valid)
	if asked < 4000 || valid < 1000 {
		t.Fatal("too few numbers were compared")
	}
}

func TestLookupSharedCodes(t *testing.T) {
	for text, want := range map[string]string{
		"+18765550100": "JM mobile", "+18765230123": "JM fixed_or_mobile", "+12125550100": "US fixed_or_mobile",
		"+18095550100": "DO fixed_or_mobile", "+14165550100": "CA fixed_or_mobile", "+12425550": "BS unallocated",
		"+77710009998": "KZ mobile", "+74955550100": "RU fixed",
		"+441481256789": "GG fixed", "+441534456789": "JE fixed", "+441624756789": "IM fixed", "+442079460000": "GB fixed",
		"+447012345678": "GB personal", "+449012345678": "GB premium_rate", "+449012345678999": "GB premium_rate",
		"+390669812345": "VA fixed", "+390612345678": "IT fixed", "+4779123456": "SJ fixed", "+4721234567": "NO fixed",
		"+61891641234": "CX fixed", "+61891621234": "CC fixed", "+61291234567": "AU fixed",
		"+212528812345": "EH fixed", "+212520123456": "MA fixed", "+262639012345": "YT mobile", "+262692123456": "RE mobile",
		"+2908123": "TA fixed", "+29022158": "SH fixed", "+35818123456": "AX fixed", "+358131234567": "FI fixed",
		"+590690001234": "GP mobile", "+59995181234": "CW mobile", "+5997151234": "BQ fixed",
		"+870301234567": " satellite", "+881612345678": " satellite", "+882165123456": " satellite", "+883510012345678": " satellite",
		"+979123456789": " premium_rate", "+80012345678": " toll_free", "+80812345678": " shared_cost",
		"+999123456": " unallocated", "+0": " unallocated", "": " unallocated", "+": " unallocated", "x": " unallocated", "+49x": "DE unallocated",
	} {
		got := number.Builtin().Lookup(text)
		if s := got.Country + " " + got.Class; s != want {
			t.Errorf("%s: %s, want %s", text, s, want)
		}
	}
}

func TestLoadRefusesDamage(t *testing.T) {
	whole, err := os.ReadFile("table.bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 3, 4, 10, 300, len(whole) / 2, len(whole) - 1} {
		if _, err := number.Load(string(whole[:n])); err == nil {
			t.Errorf("a table of %d bytes was taken", n)
		}
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		b := []byte(string(whole))
		for range 20 {
			b[rnd.IntN(len(b))] = byte(rnd.IntN(256))
		}
		d, err := number.Load(string(b))
		if err != nil {
			continue
		}
		for range 20 { // what was taken can be walked
			d.Lookup(fmt.Sprintf("+%d", rnd.Uint64()))
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	d := number.Builtin()
	if n := testing.AllocsPerRun(100, func() { d.Lookup("+442079460000") }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	d := number.Builtin()
	b.ReportAllocs()
	for b.Loop() {
		d.Lookup("+18765550100")
	}
}

// Random digits behind every calling code, valid or not: the library as naive
// oracle once more, without an example to begin with.
func TestLookupAgreesOnRandomNumbers(t *testing.T) {
	d := number.Builtin()
	rnd := rand.New(rand.NewPCG(5, 6))
	asked, valid := 0, 0
	for code := range phonenumbers.GetSupportedCallingCodes() {
		for range 60 {
			nsn := uint64(rnd.IntN(9)+1) * 1000
			for range rnd.IntN(8) {
				nsn = nsn*10 + uint64(rnd.IntN(10))
			}
			cc := int32(code)
			n := &phonenumbers.PhoneNumber{CountryCode: &cc, NationalNumber: &nsn}
			text := fmt.Sprintf("+%d%d", code, nsn)
			if len(text) > number.MaxDigits+1 {
				continue
			}
			country, class := oracle(n)
			got := d.Lookup(text)
			asked++
			if class == number.Unallocated {
				if got.Class == number.PremiumRate || got.Class == number.SharedCost || got.Class == number.Personal || got.Class == number.Satellite {
					continue // digits too many behind a costly number: see TestLookupAgreesNearExamples
				}
			} else {
				valid++
			}
			if got.Class != class || country != "" && got.Country != country {
				t.Errorf("%s: %s %s, libphonenumber says %s %s", text, got.Country, got.Class, country, class)
			}
		}
	}
	t.Logf("%d numbers asked, %d of them exist", asked, valid)
	if asked < 8000 || valid < 500 {
		t.Fatal("too few numbers were compared")
	}
}

// Countries behind shared calling codes are told apart.
func TestSharedCodes(t *testing.T) {
	by := map[int]map[string]bool{}
	for text := range examples(t) {
		i := number.Builtin().Lookup(text)
		if by[i.Code] == nil {
			by[i.Code] = map[string]bool{}
		}
		by[i.Code][i.Country] = true
	}
	for code, want := range map[int]string{
		1:   "AG AI AS BB BM BS CA DM DO GD GU JM KN KY LC MP MS PR SX TC TT US VC VG VI",
		7:   "KZ RU",
		39:  "IT VA",
		44:  "GB GG IM JE",
		47:  "NO SJ",
		61:  "AU CC CX",
		212: "EH MA",
		262: "RE YT",
		290: "SH TA",
		358: "AX FI",
		599: "BQ CW",
		800: "", 808: "", 870: "", 878: "", 881: "", 882: "", 883: "", 888: "", 979: "",
	} {
		var got []string
		for c := range by[code] {
			got = append(got, c)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("+%d: %q, want %q", code, strings.Join(got, " "), want)
		}
		if len(got) == 0 {
			t.Errorf("+%d: no example number", code)
		}
	}
	if n := len(by[1]); n != 25 {
		t.Errorf("+1 is %d countries", n)
	}
}
