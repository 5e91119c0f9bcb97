//go:build !race

package sbc_test

const race = false
