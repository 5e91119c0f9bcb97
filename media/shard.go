package media

import "github.com/rampart-sbc/rampart/media/bind"

// shard owns a share of the sessions: their latches, SRTP state and counters
// are read and written only in its engine, in Receive or Do. Both legs of a
// call are on one shard, so no packet crosses from one to another.
type shard struct {
	engine   bind.Engine
	sessions map[*Session]struct{}
	total    Counts // of all sessions, closed ones too
	events   uint64
	closed   bool // takes no session any more
	rate     float64
	burst    float64
	scratch  []byte // RTCP is rewritten into it
	kept     []byte // a packet that is tried under two keys
}

func newShard(e bind.Engine, cfg Config) *shard {
	return &shard{
		engine:   e,
		sessions: make(map[*Session]struct{}),
		rate:     float64(cfg.PacketRate),
		burst:    float64(cfg.PacketBurst),
		// A compound may grow by what one packet of it grows, and by a tag.
		scratch: make([]byte, 0, 3*maxPacket+bind.Tail),
		kept:    make([]byte, 0, maxPacket+bind.Tail),
	}
}
