package config

import "time"

// Registrations is how often phones register with the gateway, and the gateway
// for them with the PBX.
type Registrations struct {
	PhoneInterval time.Duration `yaml:"phone_interval"` // the longest that a phone is granted; 0: as the PBX grants
	PBXInterval   time.Duration `yaml:"pbx_interval"`   // the shortest that the PBX is asked for; 0: every refresh goes to it
	Minimum       time.Duration `yaml:"minimum"`        // shorter ones get 423; 0: as the PBX says
	Rate          Rate          `yaml:"rate"`           // of REGISTERs to the PBX
	Queue         int           `yaml:"queue"`          // that wait for their turn; 0: ten seconds' worth
}

func (k *checker) registrations() {
	r := k.c.Registrations
	const day = int64(24 * time.Hour)
	if r.PhoneInterval != 0 {
		k.between("registrations.phone_interval", int64(r.PhoneInterval), 10e9, day, "0s (as the PBX grants), or 10s to 1d")
	}
	if r.PBXInterval != 0 {
		k.between("registrations.pbx_interval", int64(r.PBXInterval), 60e9, day, "0s (off), or 1m to 1d")
	}
	k.between("registrations.minimum", int64(r.Minimum), 0, 3600e9, "0s (none) to 1h")
	k.between("registrations.rate", int64(r.Rate), 1, 1_000_000, "1/s to 1000000/s")
	k.between("registrations.queue", int64(r.Queue), 0, 1_000_000, "0 (ten seconds' worth) to 1000000")
	if float64(r.Queue) > 15*float64(r.Rate) && r.Queue <= 1_000_000 {
		k.problem("registrations.queue", "at most 15 seconds' worth of rate", "registrations: the last of %d would wait for %.0f s at %s, and phones give up after 32 s", r.Queue, float64(r.Queue)/float64(r.Rate), r.Rate)
	}
	if r.PBXInterval != 0 && r.PhoneInterval > r.PBXInterval/2 {
		k.warning("registrations.phone_interval", "a phone_interval of a tenth of pbx_interval or less", "registrations: phones come so seldom that nearly every refresh goes to the PBX")
	}
	if r.Minimum > 0 && r.PhoneInterval > 0 && r.Minimum > r.PhoneInterval {
		k.problem("registrations.minimum", "a minimum of at most phone_interval", "registrations: phones are granted %s and may not ask for less than %s", r.PhoneInterval, r.Minimum)
	}
}
