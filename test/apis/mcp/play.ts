import { mcp } from '../../../src/apis/mcp/api.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { silentLogger } from '../../../src/core/model.js'
import type { ApiContext, LifetimeStep } from '../../../src/http/api/api.js'
import { type Http, mountOf } from '../../../src/http/server/http.js'
import { httpSettings, managementSettings } from '../../../src/http/server/settings.js'
import type { Verbs } from '../../../src/verbs/verbs.js'
import { contextFor } from '../../support/api-context.js'
import { startServer } from '../../support/http-server.js'
import type { Called } from './stage.js'

/** The API over verbs of the test, and what else the test gives it. */
export class McpPlay {
  readonly url: string
  readonly #http: Http
  readonly #drains: readonly LifetimeStep[]

  private constructor(http: Http, drains: readonly LifetimeStep[]) {
    this.url = `${http.urls.shared}/mcp`
    this.#http = http
    this.#drains = drains
  }

  static async open(verbs: Verbs, given: Partial<ApiContext<never>> = {}, settings: object = {}): Promise<McpPlay> {
    const drains: LifetimeStep[] = []
    const lifetime = {
      onDrain: (step: LifetimeStep) => void drains.push(step),
      onStop: () => undefined,
      onCut: () => undefined
    }
    const metrics = createPrometheusMetrics()
    const context = contextFor(verbs, mcp.settings.parse(settings), { lifetime, ...given } as object, metrics)
    const http = await startServer({
      http: httpSettings.parse({ port: 0, maxEventLoopDelayMs: 0 }),
      management: managementSettings.parse({ port: 'off' }),
      apis: [mountOf(mcp, context)],
      metrics,
      log: silentLogger
    })
    return new McpPlay(http, drains)
  }

  async drain(): Promise<void> {
    for (const step of this.#drains) await step(0)
  }

  close(): Promise<unknown> {
    return this.#http.close()
  }

  /** Calls a tool. @param signal ends the request @param authorization of the client */
  async call(name: string, args: object = {}, signal?: AbortSignal, authorization = ''): Promise<Called> {
    const answer = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', authorization },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } }),
      ...(signal && { signal })
    })
    return ((await answer.json()) as { result: Called }).result
  }
}
