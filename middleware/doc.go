// Package middleware holds what stages share: security contexts, trace events and
// errors. Applications need three things of it: [Error] and its sentinels,
// [SecurityOf] of resp.Request, which tells whether the server proved itself, and
// [WithTrace], which reports what stages do. The stages are the packages below this
// one.
//
// Stages never call one another. A stage that signs a request sends a clone that
// carries its [SecurityContext], and SecurityOf(resp.Request) finds that again. So
// each response names its own context, through retries, redirects and parallel calls.
// Stages do not rely on that alone but open a [Call], since the transport may name an
// older request.
package middleware
