package config

import "time"

// Overload is from where on requests are refused because there is too much to
// do. Shares are of what there is: 1 is all of it.
type Overload struct {
	Shed         bool          `yaml:"shed"`         // false refuses nothing but beyond limits
	Delay        time.Duration `yaml:"delay"`        // that messages may wait before they are handled
	CPU          float64       `yaml:"cpu"`          // of the processors; refuses strangers and unknown phones only
	Memory       float64       `yaml:"memory"`       // of what the process may use
	Files        float64       `yaml:"files"`        // of the descriptors it may have
	Calls        float64       `yaml:"calls"`        // of limits.calls
	Transactions float64       `yaml:"transactions"` // of limits.transactions
	PBX          float64       `yaml:"pbx"`          // of the calls to PBXs: those that end with 503 or silence
}

func (k *checker) overload() {
	o := k.c.Overload
	if !o.Shed {
		k.warning("overload.shed", "leave it on", "overload.shed: with too much to do, everything becomes slow for everybody instead of little being refused")
	}
	k.between("overload.delay", int64(o.Delay), 1e6, 1e9, "1ms to 1s")
	for _, f := range []struct {
		key string
		v   float64
	}{{"cpu", o.CPU}, {"memory", o.Memory}, {"files", o.Files}, {"calls", o.Calls}, {"transactions", o.Transactions}, {"pbx", o.PBX}} {
		if path := "overload." + f.key; !(f.v >= 0.1 && f.v <= 1) && !k.badAt(path) {
			k.problem(path, "0.9 is nine tenths of what there is", "%s must be 0.1 to 1", path)
		}
	}
}
