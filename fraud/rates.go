package fraud

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/rampart-sbc/rampart/policy/number"
)

// PriceClass says what calls to a number are used for by those who steal. Its
// order is the order of risk.
type PriceClass uint8

const (
	Home      PriceClass = iota // the operator's own country, ordinary numbers
	LowRisk                     // abroad, cheap, little abused
	Elevated                    // abroad and dearer, or abused now and then
	HighRisk                    // favoured by revenue-share fraud
	Satellite                   // satellites and international services
	Premium                     // numbers at home that share what they cost
)

var classNames = [...]string{"home", "low", "elevated", "high", "satellite", "premium"}

func (c PriceClass) String() string { return classNames[c] }

// costly reports whether calls of the class are where the money goes.
func (c PriceClass) costly() bool { return c >= HighRisk }

// Rate is what is known about the destination that a number belongs to.
type Rate struct {
	Code      string  // of the destination: an ISO country, or a name of the deck
	PerMinute float64 // USD
	Class     PriceClass
	Lat, Lon  float64 // degrees; both 0 where unknown
}

// Rates tells for a public number what a minute costs: from a deck where one
// is given, else from the numbering plan and the price classes shipped. It is
// immutable.
type Rates struct {
	home string
	data *number.Data
	deck map[string]Rate // by digits without "+"
	long int             // longest prefix
	at   map[string]Rate // centre of a country that the deck names
}

// maxDeck caps the rows of a rate deck: a deck of the whole world has 60,000.
const maxDeck = 1_000_000

// DefaultRates are the shipped price classes as seen from a country.
func DefaultRates(home string, data *number.Data) *Rates {
	return &Rates{home: strings.ToUpper(home), data: data}
}

// ReadDeck reads a rate deck on top of the shipped classes: CSV with a heading,
// columns prefix, code, usd_per_min, class and optionally lat and lon. A
// row's class may be empty: then it follows from the price. Errors name the line.
func (r *Rates) ReadDeck(name string, from io.Reader) (*Rates, error) {
	c := csv.NewReader(from)
	c.FieldsPerRecord, c.ReuseRecord, c.TrimLeadingSpace = -1, true, true
	head, err := c.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: no heading: %w", name, err)
	}
	col := map[string]int{}
	for i, h := range head {
		h = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")))
		if _, twice := col[h]; twice {
			return nil, fmt.Errorf("%s:1: column %q stands twice", name, h)
		}
		col[h] = i
	}
	for _, h := range []string{"prefix", "usd_per_min"} {
		if _, ok := col[h]; !ok {
			return nil, fmt.Errorf("%s:1: no column %q; a deck has prefix,code,usd_per_min,class,lat,lon", name, h)
		}
	}
	out := &Rates{home: r.home, data: r.data, deck: map[string]Rate{}, at: map[string]Rate{}}
	for {
		rec, err := c.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		line, _ := c.FieldPos(0)
		if err := out.row(rec, col); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		if len(out.deck) > maxDeck {
			return nil, fmt.Errorf("%s:%d: more than %d prefixes", name, line, maxDeck)
		}
	}
}

func (r *Rates) row(rec []string, col map[string]int) error {
	field := func(h string) string {
		i, ok := col[h]
		if !ok || i >= len(rec) {
			return ""
		}
		return strings.TrimSpace(rec[i])
	}
	prefix := strings.TrimPrefix(field("prefix"), "+")
	if prefix == "" || len(prefix) > number.MaxDigits || strings.Trim(prefix, "0123456789") != "" {
		return fmt.Errorf("%q is no prefix: digits with the country code", field("prefix"))
	}
	if _, twice := r.deck[prefix]; twice {
		return fmt.Errorf("prefix %s stands twice", prefix)
	}
	usd, err := strconv.ParseFloat(field("usd_per_min"), 64)
	if err != nil || !(usd >= 0 && usd < 1000) {
		return fmt.Errorf("%q is no price in USD a minute", field("usd_per_min"))
	}
	info := r.data.Lookup("+" + prefix)
	code := field("code")
	if code == "" {
		code = info.Country
	}
	v := Rate{Code: code, PerMinute: usd}
	if v.Class, err = r.class(field("class"), info, usd); err != nil {
		return err
	}
	for _, h := range []struct {
		name  string
		to    *float64
		limit float64
	}{{"lat", &v.Lat, 90}, {"lon", &v.Lon, 180}} {
		if t := field(h.name); t != "" {
			x, err := strconv.ParseFloat(t, 64)
			if err != nil || !(x >= -h.limit && x <= h.limit) {
				return fmt.Errorf("%q is no %s in degrees", t, h.name)
			}
			*h.to = x
		}
	}
	r.deck[prefix] = v
	r.long = max(r.long, len(prefix))
	if len(code) == 2 && (v.Lat != 0 || v.Lon != 0) {
		r.at[code] = v
	}
	return nil
}

func (r *Rates) class(name string, info number.Info, usd float64) (PriceClass, error) {
	switch strings.ToLower(name) {
	case "home":
		return Home, nil
	case "low":
		return LowRisk, nil
	case "elev", "elevated":
		return Elevated, nil
	case "high":
		return HighRisk, nil
	case "sat", "satellite":
		return Satellite, nil
	case "prem", "premium":
		return Premium, nil
	case "":
		c := r.shipped(info).Class
		if c == Home && usd >= highPrice/4 {
			return Premium, nil
		}
		if c == LowRisk && usd >= highPrice/4 {
			c = Elevated
		}
		if c == Elevated && usd >= highPrice {
			c = HighRisk
		}
		return c, nil
	}
	return 0, fmt.Errorf("%q is no class: home, low, elevated, high, satellite or premium", name)
}

// highPrice is what a minute to the destinations costs that are favoured for
// sharing revenue, in USD: about a quarter of them cost less.
const highPrice = 0.35

// Look returns the rate of a canonical public number; ok is false for
// extensions and what is no number.
func (r *Rates) Look(n string) (Rate, bool) {
	if len(n) < 4 || n[0] != '+' {
		return Rate{}, false
	}
	digits := n[1:]
	for l := min(r.long, len(digits)); l > 0; l-- {
		if v, ok := r.deck[digits[:l]]; ok {
			return v, true
		}
	}
	v := r.shipped(r.data.Lookup(n))
	if v.Class == Premium {
		for _, c := range cheaper {
			if strings.HasPrefix(digits, c.prefix) {
				v.PerMinute, v.Code = c.usd, v.Code+"-"+c.prefix
			}
		}
	}
	return v, true
}

// cheaper are service numbers that numbering plans call premium and that cost
// little: helplines, conference bridges.
var cheaper = []struct {
	prefix string
	usd    float64
}{{"4484", .1}, {"4487", .2}}

// Abroad reports whether a destination is outside the operator's country.
func (r *Rates) Abroad(n string) bool { return r.data.Lookup(n).Country != r.home }

// Centre is where a country lies, as far as the deck or the shipped table say.
func (r *Rates) Centre(country string) (lat, lon float64, ok bool) {
	if v, ok := r.at[country]; ok {
		return v.Lat, v.Lon, true
	}
	c, ok := centres[country]
	return float64(c[0]), float64(c[1]), ok
}

// shipped is the rate without a deck. The prices are round figures in the order
// of retail price lists; they are there to weigh calls against each other.
func (r *Rates) shipped(i number.Info) Rate {
	v := Rate{Code: i.Country, PerMinute: 0.05, Class: LowRisk}
	switch i.Class {
	case "satellite":
		v.Code, v.PerMinute, v.Class = codeNames[i.Code%len(codeNames)], 5, Satellite
		return v
	case "premium_rate":
		v.Code, v.PerMinute, v.Class = special(i.Country, 0), 1.5, Premium
		return v
	case "shared_cost", "personal_number":
		v.Code, v.PerMinute, v.Class = special(i.Country, 1), 0.2, Premium
		return v
	}
	switch {
	case i.Country == "":
		v.Code, v.PerMinute, v.Class = codeNames[i.Code%len(codeNames)], 3, Satellite
	case i.Country == r.home:
		v.PerMinute, v.Class = 0.01, Home
	case listed(highRisk, i.Country):
		v.PerMinute, v.Class = 0.8, HighRisk
	case listed(elevated, i.Country):
		v.PerMinute, v.Class = 0.2, Elevated
	}
	return v
}

// Names of destinations are made once: a call that is judged allocates nothing.
var (
	codeNames = func() (out [1000]string) { // of country codes without a country
		for i := range out {
			out[i] = strconv.Itoa(i)
		}
		return out
	}()
	specials = func() map[string][2]string { // of premium and shared numbers, by country
		out := map[string][2]string{}
		for a := 'A'; a <= 'Z'; a++ {
			for b := 'A'; b <= 'Z'; b++ {
				c := string([]rune{a, b})
				out[c] = [2]string{c + "-premium", c + "-shared"}
			}
		}
		return out
	}()
)

func special(country string, which int) string {
	if s, ok := specials[country]; ok {
		return s[which]
	}
	return [2]string{"-premium", "-shared"}[which]
}

// listed reports whether a list of countries, each between blanks, has one.
func listed(list, country string) bool {
	for i := 1; i+len(country) < len(list); i += 3 {
		if list[i:i+len(country)] == country {
			return len(country) == 2
		}
	}
	return false
}

// Destinations by what published surveys and price lists say: no judgement of
// who lives there.
var (
	highRisk = " CU SO BA EE LV LT GN RS SL TN MV SN GM ZW AZ PG TL KM ST CK NR SB MG BI DJ TD MM BY AL ME HT FK" +
		" KI TV TO WS VU TK WF NC PF KP GW CD CG CF ER MR ML TG BJ NE BF SR GY SC SH AC LR TJ TM KG MD XK GQ GA "
	elevated = " PH NG RU TR AE PK MA VN KE UA JM DO LI MC LK BD NP AF IQ IR SY YE SD SS ET UG RW TZ ZM MW MZ AO CM CI GH" +
		" LY DZ EG JO LB PS OM QA KW BH SA UZ KZ GE AM MK SI SM GL FO AD GI MT CY BO EC PY NI HN GT SV BZ CR PA CO VE" +
		" AG AI BB BM BS DM GD KN KY LC MS TC TT VC VG FJ GU MH FM PW AS MP BN KH LA MN BT TW "
)
