package notice

// What is kept of each kind of document.

type attrs = map[string]value

var boolean = oneOf("true", "false", "0", "1")

var schemas = map[string]*schema{
	DialogInfo:     dialogInfo(),
	PIDF:           presence(),
	ConferenceInfo: conference(),
	FeatureEvent:   features(),
	IsComposing:    composing(),
}

// dialogInfo is RFC 4235: who talks to whom, as lamps on telephones show it.
// Routes, CSeqs and session descriptions stay where they are.
func dialogInfo() *schema {
	const ns = "urn:ietf:params:xml:ns:dialog-info"
	end := element{}
	identity := element{attrs: attrs{"display": free}, text: uri}
	return &schema{spaces: []string{ns}, roots: []string{"dialog-info"}, elements: map[string]element{
		ns + " dialog-info": {attrs: attrs{"version": number, "state": oneOf("full", "partial"), "entity": uri}, must: []string{"entity"}},
		ns + " dialog":      {attrs: attrs{"id": id, "direction": oneOf("initiator", "recipient")}, must: []string{"id"}, names: true},
		ns + " state": {attrs: attrs{"code": number, "event": oneOf("cancelled", "rejected", "replaced", "local-bye", "remote-bye", "error", "timeout")},
			text: oneOf("trying", "proceeding", "early", "confirmed", "terminated")},
		ns + " duration":    {text: number},
		ns + " replaces":    {names: true},
		ns + " referred-by": identity,
		ns + " local":       end,
		ns + " remote":      end,
		ns + " identity":    identity,
		ns + " target":      {attrs: attrs{"uri": uri}, must: []string{"uri"}},
		ns + " param":       {attrs: attrs{"pname": oneOf("+sip.rendering"), "pval": oneOf("yes", "no", "unknown")}, must: []string{"pname", "pval"}},
	}}
}

// presence is RFC 3863 with the persons of RFC 4479 and what they do, RFC
// 4480.
func presence() *schema {
	const (
		ns   = "urn:ietf:params:xml:ns:pidf"
		dm   = "urn:ietf:params:xml:ns:pidf:data-model"
		rpid = "urn:ietf:params:xml:ns:pidf:rpid"
	)
	note := element{text: free}
	when := element{text: stamp}
	s := &schema{spaces: []string{ns, dm, rpid}, prefixes: []string{"", "dm", "rpid"}, roots: []string{"presence"}, elements: map[string]element{
		ns + " presence":     {attrs: attrs{"entity": uri}, must: []string{"entity"}},
		ns + " tuple":        {attrs: attrs{"id": id}, must: []string{"id"}},
		ns + " status":       {},
		ns + " basic":        {text: oneOf("open", "closed")},
		ns + " contact":      {text: uri},
		ns + " note":         note,
		ns + " timestamp":    when,
		dm + " person":       {attrs: attrs{"id": id}, must: []string{"id"}},
		dm + " note":         note,
		dm + " timestamp":    when,
		rpid + " activities": {},
		rpid + " note":       note,
	}}
	for _, a := range []string{"appointment", "away", "breakfast", "busy", "dinner", "holiday", "in-transit", "looking-for-work", "lunch", "meal",
		"meeting", "on-the-phone", "performance", "permanent-absence", "playing", "presentation", "shopping", "sleeping", "spectator", "steering",
		"travel", "tv", "unknown", "vacation", "working", "worship"} {
		s.elements[rpid+" "+a] = element{}
	}
	return s
}

// conference is RFC 4575: who is in a conference.
func conference() *schema {
	const ns = "urn:ietf:params:xml:ns:conference-info"
	state := oneOf("full", "partial", "deleted")
	return &schema{spaces: []string{ns}, roots: []string{"conference-info"}, elements: map[string]element{
		ns + " conference-info":        {attrs: attrs{"entity": uri, "state": state, "version": number}, must: []string{"entity"}},
		ns + " conference-description": {},
		ns + " display-text":           {text: free},
		ns + " subject":                {text: free},
		ns + " maximum-user-count":     {text: number},
		ns + " conference-state":       {},
		ns + " user-count":             {text: number},
		ns + " active":                 {text: boolean},
		ns + " locked":                 {text: boolean},
		ns + " users":                  {attrs: attrs{"state": state}},
		ns + " user":                   {attrs: attrs{"entity": uri, "state": state}, must: []string{"entity"}},
		ns + " endpoint":               {attrs: attrs{"entity": id, "state": state}, must: []string{"entity"}},
		ns + " status": {text: oneOf("pending", "dialing-out", "dialing-in", "alerting", "on-hold", "connected", "muted-via-focus",
			"disconnecting", "disconnected", "sendrecv", "sendonly", "recvonly", "inactive")},
		ns + " joining-method":       {text: oneOf("dialed-in", "dialed-out", "focus-owner")},
		ns + " disconnection-method": {text: oneOf("departed", "booted", "failed", "busy")},
		ns + " media":                {attrs: attrs{"id": id}, must: []string{"id"}},
		ns + " type":                 {text: oneOf("audio", "video", "text", "message")},
	}}
}

// features is what telephones and switches tell each other about do not
// disturb and forwarding: elements of ECMA-323.
func features() *schema {
	const ns = "http://www.ecma-international.org/standards/ecma-323/csta/ed3"
	s := &schema{spaces: []string{ns}, elements: map[string]element{
		ns + " device":          {text: subscriber},
		ns + " doNotDisturbOn":  {text: boolean},
		ns + " forwardingType":  {text: oneOf("forwardImmediate", "forwardBusy", "forwardNoAns")},
		ns + " activateForward": {text: boolean},
		ns + " forwardStatus":   {text: boolean},
		ns + " forwardDN":       {text: subscriber},
		ns + " forwardTo":       {text: subscriber},
		ns + " ringCount":       {text: number},
	}}
	for _, root := range []string{"SetDoNotDisturb", "SetForwarding", "DoNotDisturbEvent", "ForwardingEvent"} {
		s.roots = append(s.roots, root)
		s.elements[ns+" "+root] = element{}
	}
	return s
}

// composing is RFC 3994: somebody is typing.
func composing() *schema {
	const ns = "urn:ietf:params:xml:ns:im-iscomposing"
	return &schema{spaces: []string{ns}, roots: []string{"isComposing"}, elements: map[string]element{
		ns + " isComposing": {},
		ns + " state":       {text: oneOf("active", "idle")},
		ns + " lastactive":  {text: stamp},
		ns + " refresh":     {text: number},
		ns + " contenttype": {text: oneOf("text/plain")},
	}}
}
