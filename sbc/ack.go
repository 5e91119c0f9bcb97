package sbc

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/rampart-sbc/rampart/sbc/b2bua"
	"github.com/rampart-sbc/rampart/sbc/sipx"
)

// What follows B's answers: the description for A, ACK, CANCEL, and the end of
// an answer that is not wanted.

// answer reads B's description and writes A's. A repeated description of one
// fork is written once and sent again.
func (s *session) answer(res *sipx.Response) ([]byte, error) {
	f := s.at
	switch {
	case f == nil:
		return nil, nil // a provisional response without a tag makes no dialog
	case len(res.Body()) == 0 && res.Code() < 200:
		return nil, nil
	case len(res.Body()) == 0 && f.early == nil:
		return nil, errors.New("2xx without an answer")
	case len(res.Body()) == 0:
		if s.heard != f {
			if err := s.hear(); err != nil {
				return nil, err
			}
		}
		return f.early, nil
	case res.ContentType() != "application/sdp":
		return nil, fmt.Errorf("answer of type %q", res.ContentType())
	}
	if res.Code() < 200 && f.early != nil && bytes.Equal(f.said, res.Body()) {
		return f.early, nil // said again: another fork that is heard meanwhile stays so
	}
	body, err := s.passAnswer(b2bua.B, res.Body())
	if err != nil {
		return nil, err
	}
	if res.Code() < 200 {
		f.said = bytes.Clone(res.Body())
	}
	f.early = body
	return body, nil
}

// sendAck acknowledges B's 2xx: at once where the descriptions have been
// exchanged, B need not wait for A's ACK; else with the answer that A's brought.
func (s *session) sendAck(in input) {
	b := &s.legs[b2bua.B]
	hs, body := s.ackBody(b2bua.B, in)
	b.ours.Ack(b.flow, b.dialog.RemoteTag, b.dialog.Request("ACK", b.oursSeq, hs, body))
}

// ackAndBye ends a 2xx that is not wanted.
func (s *session) ackAndBye(in input) {
	b := &s.legs[b2bua.B]
	d := s.dialogWith(in.Tag)
	d.Routes = nil
	if in.res != nil {
		d.Established(in.res)
	}
	b.ours.Ack(b.flow, d.RemoteTag, d.Request("ACK", b.oursSeq, nil, nil))
	s.send(b, d.Request("BYE", 0, nil, nil), s.byeDone)
}

func (s *session) sendCancel(in input) {
	hs := s.why
	if in.req != nil {
		hs = reasons(in.req)
	}
	if tx := s.legs[b2bua.B].ours; tx != nil {
		tx.Cancel(hs)
	}
}
