// Package stagetest is the conformance kit that every stage passes, and a small
// set of fakes to test stages with: a scripted [Server] and an [Initiator].
//
// The kit knows nothing of what a stage is for. It drives the stage through
// every kind of request and every behaviour of a peer that it can think of, and
// holds it to what a [kerbchain.Next] owes its caller and the transport below.
package stagetest
