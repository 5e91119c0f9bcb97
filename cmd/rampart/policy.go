package main

// policyCmd are the commands about rules.
type policyCmd struct {
	Test policyTestCmd `cmd:"" help:"Run the tests of rule files, offline."`
}
