// Package config answers one question: what did the operator ask for? It reads
// rampart.yaml into plain values, fills in safe defaults and reports everything
// that is wrong, at once and with its place.
//
// It does not start anything, resolve names, open sockets or load certificates
// and rules; the commands turn these values into the Config of each package. It
// does check what only the whole file can tell: that listeners do not overlap,
// that routes name peers that exist, that a secret file is not world-readable.
//
// A [Config] belongs to whoever loaded it and is not changed afterwards. Files,
// environment and addresses of the machine come through [Host], so that a test
// needs none of them; there is no time in here. When something breaks there is a
// problem with a hint and the configuration must not be used; a reload then
// keeps the old one.
//
// Start reading at [Load].
package config
