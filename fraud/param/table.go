package param

var all = []Detector{
	{ID: Everywhere, Sees: "What counts for all detectors.", Page: "fraud.md", Params: []Param{
		{"warm_up", Duration, 0, 60 * day, "Habits are not held against anybody for so long after the first start."},
		{"shadow", Duration, 0, 60 * day, "For so long after the first start nothing is refused, ended or held by a detector without a `mode:` of its own; alerts are sent all the same."},
		{"incident", Duration, minute, 7 * day, "So much silence ends an incident; what comes later is a new one."},
		{"update", Duration, minute, 7 * day, "The least time between the first two alerts of one incident; the time to the next doubles."},
	}},
	{ID: "fraud/ping-call", Sees: "Short unanswered rings at many of your numbers, by one number, a block of numbers or a country.", Page: "fraud-ping-call.md", Acts: true, Params: []Param{
		{"ring", Duration, 1, minute, "A caller who rings for less and hangs up wants to be called back."},
		{"answered", Duration, 0, minute, "So does one who was answered and hung up before this."},
		{"share", Share, 0, 1, "Of the calls in the window that must be such."},
		{"callees", Count, 1, 64, "Different numbers of yours that were rung."},
		{"number", Count, 2, 64, "Short calls of one number …"},
		{"number_over", Duration, minute, 7 * day, "… within this time."},
		{"block", Count, 2, 64, "Short calls of a block of a thousand numbers …"},
		{"block_over", Duration, minute, 7 * day, "… within this time."},
		{"country", Count, 2, 64, "Short calls of a country abroad …"},
		{"country_over", Duration, minute, 7 * day, "… within this time."},
		{"guard_callback", Duration, 0, 60 * day, "Numbers and blocks that pinged you are guarded for so long: a call back is told or refused."},
	}},
	{ID: "fraud/ping-call-callback", Sees: "A call to a number or block that made ping calls.", Page: "fraud-ping-call.md", Acts: true},
	{ID: "fraud/toll-fraud", Sees: "Costly calls that do not fit the user, the account, the hour or the place.", Page: "fraud-toll-fraud.md", Acts: true, Params: []Param{
		{"risk_hour", Money, 0.01, 1e6, "At risk of one user, leaking away within an hour."},
		{"risk_day", Money, 0.01, 1e6, "The same, leaking away within a day."},
		{"risk_account", Money, 0.01, 1e6, "At risk of everybody, to costly countries that the account never called, within a day."},
	}},
	{ID: "fraud/call-forward-fraud", Sees: "Diverted calls to costly places.", Page: "fraud-toll-fraud.md", Acts: true},
	{ID: "fraud/costly-calls-cap", Sees: "More costly calls at a time than an account has, and calls to costly places that last too long.", Page: "fraud-spend.md", Acts: true, Params: []Param{
		{"per_minute", Money, 0, 1000, "A call that costs less a minute is not counted."},
		{"calls", Count, 0, 10_000, "Costly calls of an account at a time; 0: no cap."},
		{"longest_elevated", Duration, 0, 7 * day, "How long a call to the price class `elevated` may last; 0: as long as any."},
		{"longest_high", Duration, 0, 7 * day, "The same for `high`."},
		{"longest_satellite", Duration, 0, 7 * day, "The same for `satellite`."},
		{"longest_premium", Duration, 0, 7 * day, "The same for `premium`."},
	}},
	{ID: "fraud/spend-cap", Sees: "What is spent within a day, while the calls are up.", Page: "fraud-spend.md", Acts: true, Params: []Param{
		{"user", Money, 0, 1e9, "Of one user; 0: no cap."},
		{"peer", Money, 0, 1e9, "Of the calls through one trunk; 0: no cap."},
		{"destination", Money, 0, 1e9, "Of an account's calls to one destination; 0: no cap."},
		{"account", Money, 0, 1e9, "Of everybody of a PBX; 0: no cap."},
		{"over", Duration, hour, 31 * day, "The window, which rolls."},
	}},
	{ID: "fraud/traffic-pumping", Sees: "Call after call to a number at home that is paid for being called.", Page: "fraud-pumping.md", Acts: true, Params: []Param{
		{"calls", Count, 2, 256, "Calls to one costly number at home, or its block, within a day …"},
		{"per_user", Number, 1, 256, "… and so many of each user who calls it."},
		{"days", Count, 1, 60, "A number that was called on so many days is known."},
	}},
	{ID: "fraud/tollfree-pumping", Sees: "Callers whose calls all last equally long.", Page: "fraud-pumping.md"},
	{ID: "fraud/false-answer", Sees: "A route that answers calls that nobody answered.", Page: "fraud-false-answer.md", Params: []Param{
		{"calls", Count, 2, 30, "Suspicious answers of the last thirty …"},
		{"share", Share, 0, 1, "… and their share."},
		{"seconds", Number, 1, 600, "Callers give up within so many seconds."},
		{"over", Duration, minute, 7 * day, "The window."},
	}},
	{ID: "fraud/robocall", Sees: "A caller like a machine: many calls, many numbers, short talks.", Page: "fraud-robocall.md", Acts: true, Params: []Param{
		{"calls", Count, 5, 64, "Calls of one number or block of ten thousand …"},
		{"over", Duration, minute, day, "… within this time …"},
		{"callees", Count, 2, 64, "… to so many numbers."},
		{"hung_up", Share, 0, 1, "Of the answered ones that the callee ends within ten seconds."},
	}},
	{ID: "fraud/number-probing", Sees: "Calls to numbers that do not exist.", Page: "fraud-number-probing.md", Acts: true, Params: []Param{
		{"caller", Count, 2, 32, "Numbers that do not exist, by one caller …"},
		{"caller_over", Duration, minute, day, "… within this time."},
		{"account", Count, 2, 1000, "The same by everybody …"},
		{"account_over", Duration, minute, day, "… within this time."},
	}},
	{ID: "fraud/impossible-travel", Sees: "A user who registers in two places that are too far apart.", Page: "fraud-impossible-travel.md", Params: []Param{
		{"speed", Number, 100, 20_000, "Kilometres an hour that nobody travels at."},
		{"mute", Duration, 0, 60 * day, "The same user and country are not told again for so long."},
		{"days", Count, 1, 60, "A country where a user was on so many days is known."},
	}},
}
