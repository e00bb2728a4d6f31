import { getOAuthProtectedResourceMetadataUrl } from '@modelcontextprotocol/server'
import { Shares } from '../../core/shares.js'
import { type ApiContext, type ApiPlugin, capacityWaitMsOf } from '../../http/api/api.js'
import { ApiError } from '../../http/api/api-answers.js'
import { neverCalled } from '../../http/api/by-hand.js'
import { bodyPool, type Receive } from '../../http/api/endpoint.js'
import { ProduceRoute } from '../../http/api/produce-route.js'
import { servedRoutes, serveRoutes } from '../../http/api/routes.js'
import type { BufferPool } from '../../http/exchange/body-collector.js'
import { McpAnswers } from './mcp-answers.js'
import { McpEndpoint } from './mcp-endpoint.js'
import { AgentRecords } from './produce-api.js'
import { mcpOperations } from './routes.js'
import type { McpSettings } from './settings.js'

/** A record that Kafka does not have by then has failed. */
const PRODUCE_MS = 30_000
/** Limit of searches at the same time; one client gets about half of them. */
const MAX_SEARCHES = 4
const UNKNOWN = new ApiError(404, 'there is no such path')

/** Serves the Model Context Protocol. */
export const mcpPlugin =
  (context: ApiContext<McpSettings>): ApiPlugin =>
  app => {
    const { forMcp, lifetime, log, settings, version = 'unknown' } = context
    const { url } = settings
    const metadataUrl =
      url === undefined || forMcp.issuers.length === 0 ? undefined : getOAuthProtectedResourceMetadataUrl(new URL(url))
    const pool = bodyPool()
    const parts = {
      ...context,
      answers: new McpAnswers(log, metadataUrl),
      pool,
      produce: settings.write ? producing(context, pool) : undefined,
      searches: new Shares(MAX_SEARCHES, 'searches for a record by agents'),
      version
    }
    const endpoint = new McpEndpoint(parts)
    lifetime.onDrain(async () => endpoint.stop())
    const routes = servedRoutes(mcpOperations, { parts, endpoint }, { preParsing: neverCalled })
    serveRoutes(app, routes, parts.answers, UNKNOWN)
  }

/** Writes records of agents, once for each key. */
function producing(context: ApiContext<McpSettings>, pool: BufferPool): Receive {
  const sync = { partitioner: 'murmur2', deadlineMs: PRODUCE_MS, capacityWaitMs: capacityWaitMsOf(context) } as const
  const api = new AgentRecords(context.verbsByCluster, sync)
  return new ProduceRoute(api, context, context.settings.maxBodyBytes, pool).guarded({ waitMs: PRODUCE_MS })
}
