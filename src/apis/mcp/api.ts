import type { HttpApi } from '../../http/api/api.js'
import { mcpOperations } from './routes.js'
import { type McpSettings, mcpSettings } from './settings.js'

const LIST = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'

/** Tools for agents: what a gateway knows of Kafka, with the rights that clients of HTTP have. docs/mcp.md says what is promised. */
export const mcp: HttpApi<McpSettings, 'mcp'> = {
  name: 'mcp',
  about: 'tools for agents, by the Model Context Protocol: topics, records, groups, queues, schemas, problems',
  source: 'no system: the Model Context Protocol, revisions 2026-07-28 and 2025-11-25',
  prefix: '/mcp',
  clusters: 'all',
  settings: mcpSettings,
  isOnWithEmbedded: true,
  needsHost: true,
  tryIt: url => [
    `curl ${url} -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' -d '${LIST}'`
  ],
  operations: () => mcpOperations,
  documents: ({ settings: { url }, forMcp: { issuers } }) =>
    url === undefined || issuers.length === 0 ? [] : resourceMetadata(url, issuers),
  plugin: async context => (await import('./plugin.js')).mcpPlugin(context)
}

export const METADATA_PATH = '/.well-known/oauth-protected-resource'

/** Tells clients which issuers give tokens for the URL. Source: RFC 9728, section 3: the path of the URL follows. */
function resourceMetadata(url: string, issuers: readonly string[]) {
  const document = {
    resource: url,
    authorization_servers: issuers,
    bearer_methods_supported: ['header'],
    resource_name: 'Castellan'
  }
  const paths = new Set(['', '/mcp', new URL(url).pathname.replace(/\/$/, '')].map(path => METADATA_PATH + path))
  return Array.from(paths, path => ({ path, document }))
}
