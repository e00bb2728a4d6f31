import { eventRequest } from '../../apis/apis.js'
import { consumerOptions } from '../../consumer/group/settings.js'
import { performanceClock } from '../../core/clocks.js'
import { ConfigError } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import { parseUrl } from '../../core/parse-url.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { hostAndPort } from '../../deployment/gateways/peer-listener.js'
import type { HttpApi } from '../../http/api/api.js'
import type { HttpUrls } from '../../http/server/http.js'
import { readsSame, type WebhookDefinition } from '../../webhooks/definition.js'
import { credentialOf, definitionsIn } from '../../webhooks/definitions.js'
import type { Place } from '../../webhooks/endpoint/addresses.js'
import { Egress } from '../../webhooks/endpoint/egress.js'
import { Endpoint, type EndpointSettings } from '../../webhooks/endpoint/endpoint.js'
import type { WebhookDesk } from '../../webhooks/webhook-desk.js'
import { Webhooks } from '../../webhooks/webhooks.js'
import { listensOnLoopbackOnly, usesEmbeddedBroker } from '../config/checks.js'
import type { Config } from '../config/config.js'
import { settingsOfApis } from '../config/schema.js'
import type { Clusters } from './clusters.js'
import type { ConfiguredCluster } from './kafka.js'

export interface GatewayWebhooksDeps {
  readonly config: Config
  /** The enabled APIs. */
  readonly apis: readonly HttpApi[]
  readonly clusters: Clusters
  readonly records: RecordBudget
  readonly log: Logger
  /** The listeners of this process, once they are open. */
  readonly urls: () => HttpUrls | undefined
  /** `HOST:PORT,…` of the embedded broker. */
  readonly embeddedBootstrap: string | undefined
}

/** The webhooks of this process: their definitions, the way out, and what delivers. */
export class GatewayWebhooks {
  readonly #deps: GatewayWebhooksDeps
  readonly #egress: Egress
  readonly #webhooks: Webhooks
  /** Endpoints of the definitions in effect, by name, without webhooks that end: another topic has another endpoint. */
  readonly #endpoints = new Map<string, { readonly endpoint: Endpoint; readonly definition: WebhookDefinition }>()
  #config: Config
  #closing: Promise<void> | undefined

  constructor(deps: GatewayWebhooksDeps) {
    const { config, clusters, records, log } = deps
    this.#deps = deps
    this.#config = config
    this.#egress = new Egress({
      settings: egressSettingsOf(config),
      clock: performanceClock,
      log,
      places: () => this.#places(),
      isLoopbackNamed: usesEmbeddedBroker(config) && listensOnLoopbackOnly(config, deps.apis)
    })
    const current = (): Config => this.#config
    this.#webhooks = new Webhooks({
      clusterOf: name => clusterOf(clusters.all.find(cluster => cluster.name === name)!, config),
      openSender: definition => this.#open(definition),
      request: {
        get maxBodyBytes() {
          return current().webhooks.maxBodyBytes
        },
        get recordHeaders() {
          return current().webhooks.recordHeaders.map(name => name.toLowerCase())
        },
        eventOf: eventRequest
      },
      records,
      clock: performanceClock,
      now: Date.now,
      random: Math.random,
      log
    })
  }

  get desk(): WebhookDesk {
    return this.#webhooks
  }

  /** Definitions in the settings. */
  get definitions(): readonly WebhookDefinition[] {
    return definitionsIn(this.#config.webhooks)
  }

  /**
   * @returns takes over the settings
   * @throws ConfigError where a webhook is on a cluster that does not run
   */
  async prepare(config: Config): Promise<() => void> {
    const running = this.#deps.clusters.all.map(({ name }) => name)
    const problems = definitionsIn(config.webhooks).flatMap(({ name, cluster }) =>
      running.includes(cluster)
        ? []
        : [`webhooks.definitions.${name}.cluster: the cluster ${cluster} is there after a restart only`]
    )
    if (problems.length > 0) throw new ConfigError(problems.join('\n'))
    return () => this.configure(config)
  }

  /** Takes over the settings, and begins to deliver. */
  configure(config: Config): void {
    const former = this.#config
    this.#config = config
    if (JSON.stringify(egressSettingsOf(former)) !== JSON.stringify(egressSettingsOf(config)))
      this.#egress.configure(egressSettingsOf(config))
    const own = this.definitions
    for (const [name, { definition }] of this.#endpoints)
      if (!own.some(one => readsSame(one, definition))) this.#endpoints.delete(name)
    this.#webhooks.configure(own)
    for (const definition of own) this.#renew(definition, former)
  }

  /** Idempotent. @param timeoutMs time limit for answers, commits and leaving the groups */
  close(timeoutMs: number): Promise<void> {
    this.#closing ??= this.#webhooks.close(timeoutMs)
    return this.#closing
  }

  #open(definition: WebhookDefinition): Endpoint {
    const settings = endpointSettingsOf(this.#config, definition)
    const endpoint = new Endpoint({ settings, egress: this.#egress, now: Date.now })
    this.#endpoints.set(definition.name, { endpoint, definition })
    return endpoint
  }

  /** A secret or a credential may have changed, and nothing else. */
  #renew(definition: WebhookDefinition, former: Config): void {
    const [before, now] = [former, this.#config].map(config => JSON.stringify(endpointSettingsOf(config, definition)))
    if (before !== now)
      this.#endpoints.get(definition.name)?.endpoint.configure(endpointSettingsOf(this.#config, definition))
  }

  /** Addresses that webhooks must not call: the gateway, Kafka, other gateways and the registry. */
  #places(): readonly Place[] {
    const { urls, clusters, embeddedBootstrap } = this.#deps
    const { schemas, peers } = this.#config
    const { shared, management, apis } = urls() ?? {}
    const ofUrls = [shared, management, ...(apis?.values() ?? []), ...schemas.registry.urls].flatMap(placeOfUrl)
    const named = [
      ...(embeddedBootstrap?.split(',') ?? []),
      ...Object.values(this.#config.clusters).flatMap(({ brokers }) => brokers),
      ...peers.addresses,
      ...(peers.listen === undefined ? [] : [peers.listen])
    ]
    const brokers = clusters.all.flatMap(({ router }) => router.brokers().map(({ host, port }) => ({ host, port })))
    const ofSettings = portsOfApis(this.#config).map(port => ({ host: ANY_ADDRESS, port }))
    const others = named.map(text => hostAndPort(text))
    return [...ofUrls, ...ofSettings, ...others, ...brokers.filter(({ host }) => host !== '')]
  }
}

/** Stands for all addresses of this host. */
const ANY_ADDRESS = '0.0.0.0'

/** Ports that APIs listen on by themselves, such as that of gRPC. */
const portsOfApis = (config: Config): number[] =>
  settingsOfApis(config).flatMap(([, settings]) =>
    Object.entries(settings).flatMap(([name, value]) =>
      /port$/i.test(name) && typeof value === 'number' && value > 0 ? [value] : []
    )
  )

const clusterOf = ({ system, router, verbs }: ConfiguredCluster, { consumer, router: settings }: Config) => ({
  system,
  router: router.ref,
  verbs,
  consumer: consumerOptions.parse(consumer),
  isolation: settings.isolationLevel
})

const egressSettingsOf = ({ webhooks, webhookFiles }: Config) => ({
  networks: webhooks.networks,
  ca: webhookFiles?.ca
})

const endpointSettingsOf = (
  { webhooks, webhookFiles }: Config,
  { name, url }: WebhookDefinition
): EndpointSettings => ({
  url,
  secrets: webhookFiles?.secrets[name] ?? [],
  credential: credentialOf(webhooks, name)
})

const PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 }

function placeOfUrl(text: string | undefined): readonly Place[] {
  const url = text === undefined ? undefined : parseUrl(text)
  if (url === undefined) return []
  const { protocol, hostname, port } = url
  return [{ host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? (PORTS[protocol] ?? 0) : Number(port) }]
}
