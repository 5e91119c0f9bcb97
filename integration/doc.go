// Package integration answers: does the gateway's program work among real
// software? Its tests start `rampart run` with a configuration file, between
// real telephones (baresip), a real PBX (Kamailio), scripted PBXs and carriers
// (sipp), and judge it by what these saw and by what it wrote.
//
// It deliberately looks at nothing inside the program: that is what the tests
// of each package do. Each test owns a block of loopback addresses and the
// processes it starts, so tests run side by side. Time is the real one; every
// wait has a deadline. A peer that is missing fails a test.
//
// Start reading at world_test.go.
package integration
