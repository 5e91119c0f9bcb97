//go:build !race

package b2bua

const race = false
