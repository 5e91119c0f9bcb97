// Package peers answers: how does real software behave at the other end of the
// wire?
//
// It starts telephones (baresip, linphone), a PBX (Kamailio), scripted endpoints (sipp), a
// capture (dumpcap) and the gateway itself for one test, on loopback addresses
// of the test's own, waits until each answers, and drives them. It deliberately
// knows nothing of the gateway's packages: what it says about a call is what
// the peers saw.
//
// Each process belongs to the test that started it: it runs in a process group
// (the peers also in a process namespace) of its own, is ended at the test's
// Cleanup, and dies with the test binary. Its log is kept in the test's
// temporary directory and shown when the test fails. Look-ups of names cannot
// leave loopback, because each process has its own resolv.conf and hosts.
// Time is the real one: every wait has a deadline and polls a condition. A peer
// that is missing or does not answer fails the test; nothing is skipped.
//
// Start reading at Net.
package peers
