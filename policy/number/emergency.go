package number

// EmergencyLength is how many octets a user may have that is an emergency
// number, with all that may be dialled before it. Whoever must decide before
// he can read the number may spare what is no longer.
func (p *Plan) EmergencyLength() int {
	most := 0
	for e := range p.emergency {
		most = max(most, len(e))
	}
	before := len(p.outside)
	for _, t := range p.tech {
		before = max(before, len(p.outside)+len(t))
	}
	return before + most
}
