import { lookup } from 'node:dns/promises'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { BlockList, isIP, isIPv6 } from 'node:net'
import type { Logger } from '../../core/model.js'
import { isAmong } from '../../core/networks.js'
import { isLoopback } from '../../core/settings/units.js'
import { instanceName } from './endpoint.js'

const TIMEOUT_MS = 1_000
const MAX_ANSWER_BYTES = 4_096
/** Marks a request of a starting instance, so that another instance can recognize it. */
const GUARD_HEADER = 'x-castellan-load-balancer'
const NODE_NAME = /^[\w.:@-]{1,255}$/

/** The load balancer to ask, and its allowed hosts and nodes. */
export interface LoadBalancer {
  readonly url: string
  readonly hosts: readonly string[]
  readonly nodes: readonly string[]
}

/** The answer of the load balancer. */
export type BalancerAnswer =
  | { readonly type: 'node'; readonly node: string; readonly isExpected: boolean }
  | { readonly type: 'failed'; readonly reason: string }

/** Finds the addresses of a host. */
export type Resolve = (host: string) => Promise<readonly string[]>

const resolveHost: Resolve = async host => (await lookup(host, { all: true })).map(({ address }) => address)

/** Addresses that no load balancer has: this network, link-local, cloud metadata, multicast and reserved addresses. */
const forbidden = new BlockList()
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3]
] as const) {
  forbidden.addSubnet(network, prefix, 'ipv4')
}
for (const [network, prefix] of [
  ['::', 128],
  ['fe80::', 10],
  ['ff00::', 8],
  ['fd00:ec2::', 32]
] as const) {
  forbidden.addSubnet(network, prefix, 'ipv6')
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Describes the problem with a load balancer's URL; `undefined` where there is none. */
export function loadBalancerProblem({ url, hosts }: Omit<LoadBalancer, 'nodes'>): string | undefined {
  if (!URL.canParse(url)) return 'write it as http://HOST:PORT/disco'
  const { protocol, username, password, hostname } = new URL(url)
  if (!/^https?:$/.test(protocol) || username + password !== '') return 'write it as http://HOST:PORT/disco'
  return isLoopback(hostname) || hosts.includes(hostname) ? undefined : `name its host ${hostname} in loadBalancerHosts`
}

/**
 * Asks once for a node, as kafboy does at its start. The answer is not used: there is no cluster to join.
 *
 * The host must be named in the settings, its address is looked up once and then kept, redirections are not followed,
 * and time and length of the answer are limited.
 */
export async function askLoadBalancer(
  balancer: LoadBalancer,
  resolve = resolveHost,
  timeoutMs = TIMEOUT_MS
): Promise<BalancerAnswer> {
  const problem = loadBalancerProblem(balancer)
  if (problem !== undefined) return { type: 'failed', reason: problem }
  const url = new URL(balancer.url)
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const address = await Promise.race([addressOf(url.hostname, resolve), rejectWhen(signal)])
    const node = (await get(url, address, signal)).trim()
    if (!NODE_NAME.test(node)) return { type: 'failed', reason: 'it did not answer with the name of a node' }
    return { type: 'node', node, isExpected: balancer.nodes.includes(node) }
  } catch (error) {
    const { name, message } = error as Error
    return { type: 'failed', reason: /Timeout|Abort/.test(name) ? `no answer within ${timeoutMs} ms` : message }
  }
}

/** Asks the load balancer and logs its answer. */
export async function logLoadBalancer(balancer: LoadBalancer, log: Logger, timeoutMs = TIMEOUT_MS): Promise<void> {
  const answer = await askLoadBalancer(balancer, resolveHost, timeoutMs)
  const what = 'the load balancer of kafboy'
  if (answer.type === 'failed') log.warn({ reason: answer.reason }, `${what} did not name a node`)
  else if (answer.isExpected) log.info({ node: answer.node }, `${what} has named a node; nothing is forwarded to it`)
  else log.warn({ node: answer.node }, `${what} has named a node that is not in advanced.apis.kafboy.loadBalancerNodes`)
}

async function addressOf(host: string, resolve: Resolve): Promise<string> {
  const bare = host.replace(/^\[|\]$/g, '')
  const [address] = isIP(bare) > 0 ? [bare] : await resolve(bare)
  if (address === undefined) throw new Error('its host has no address')
  const isOwn = isAmong(loopback, address) && !isLoopback(host)
  if (isOwn || isAmong(forbidden, address)) throw new Error(`its address ${address} is not allowed`)
  return address
}

const rejectWhen = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }))

function get(url: URL, address: string, signal: AbortSignal): Promise<string> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  const family = isIPv6(address) ? 6 : 4
  return new Promise((resolve, reject) => {
    const sent = request(url, {
      signal,
      agent: false,
      headers: { [GUARD_HEADER]: instanceName(undefined) },
      // Connects to the address that was checked: the name may resolve to another one by now.
      lookup: (_host, options, done) => (options.all ? done(null, [{ address, family }]) : done(null, address, family))
    })
    sent.on('error', reject)
    sent.on('response', response => {
      if (response.statusCode !== 200) {
        sent.destroy()
        reject(new Error(`it answered with status ${response.statusCode}`))
        return
      }
      let text = ''
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece
        if (text.length <= MAX_ANSWER_BYTES) return
        sent.destroy()
        reject(new Error(`its answer is longer than ${MAX_ANSWER_BYTES} bytes`))
      })
      response.on('end', () => resolve(text))
      response.on('error', reject)
    })
    sent.end()
  })
}
