// Package sipx is the SIP edge of the gateway: transports, ordered dispatch,
// transactions, dialogs, header hygiene. It answers "what did they say, and
// how is our answer put on the wire". It is the only importer of sipgo, whose
// message model, parser and serializer it uses; transports and transactions
// are our own (docs/adr says why).
//
// It does not decide who may do what (the [Handler] does), knows no call
// (sbc/b2bua does) and touches no media. The [Stack] owns listeners, flows and
// transactions; a [Dialog] is plain data and belongs to the call that holds
// it. Time comes from the runtime's timers here: this is a shell, tested with
// real sockets. What a stranger can grow (connections, transactions, buffers)
// is capped by [Config]; beyond a cap new work is refused and counted, old
// work goes on. Messages that do not pass [Check] never reach the parser, and
// what would not be one message on the wire is not sent ([ErrUnsafe]). A
// handler or callback that panics loses its message and nothing else.
//
// Start reading at [Stack.handle], then [Request] and [Dialog].
package sipx
