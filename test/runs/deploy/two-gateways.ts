import { readFileSync } from 'node:fs'
import { type Agent, type IncomingMessage, request } from 'node:http'
import { type Children, Gateway } from '../../cli/child.js'
import { type ProxyKind, proxyKinds } from '../../http/engine/proxies.js'
import { walDirectoryOf } from '../../support/wal-directory.js'
import { freePorts } from '../real-kafka/ports.js'

export const kindOf = (name: string): ProxyKind => proxyKinds.find(one => one.name === name)!

export interface Ports {
  readonly port: number
  readonly management: number
}

/** Gateways that know each other, which keep their ports and their disks when they are started again. */
export class GatewaysOfKit {
  readonly ports: readonly Ports[]
  readonly gateways: Gateway[] = []
  readonly #children: Children
  readonly #brokers: string
  readonly #peers: readonly string[]
  readonly #disks: readonly string[]
  readonly #further: Readonly<Record<string, string>>

  private constructor(
    children: Children,
    brokers: string,
    free: readonly number[],
    further: Readonly<Record<string, string>>
  ) {
    this.#children = children
    this.#brokers = brokers
    this.#further = further
    const numbers = Array.from({ length: free.length / 3 }, (_, index) => index)
    this.ports = numbers.map(index => ({ port: free[3 * index]!, management: free[3 * index + 1]! }))
    this.#peers = numbers.map(index => `127.0.0.1:${free[3 * index + 2]}`)
    this.#disks = numbers.map(() => walDirectoryOf('gateways'))
  }

  /** @param further variables of all of them */
  static async start(
    children: Children,
    brokers: string,
    count = 2,
    further: Readonly<Record<string, string>> = {}
  ): Promise<GatewaysOfKit> {
    const all = new GatewaysOfKit(children, brokers, await freePorts(3 * count), further)
    await Promise.all(all.ports.map((_, index) => all.start(index)))
    return all
  }

  async start(index: number): Promise<void> {
    const { port, management } = this.ports[index]!
    const flags = ['--brokers', this.#brokers, '--port', String(port), '--management-port', String(management)]
    const gateway = await Gateway.start(this.#children, flags, {
      CASTELLAN_SHUTDOWN_DRAIN_MS: '',
      CASTELLAN_APIS_KPRF_MESSAGE_TIMEOUT_MS: '30000',
      CASTELLAN_WAL_DIRECTORY: this.#disks[index]!,
      CASTELLAN_PEERS_ADDRESSES: this.#peers.join(','),
      CASTELLAN_PEERS_LISTEN: this.#peers[index]!,
      CASTELLAN_PEERS_TOKEN: 'x'.repeat(32),
      ...this.#further
    })
    this.gateways[index] = gateway
    await gateway.until(200)
  }

  /** @returns its exit code */
  stop(index: number): Promise<number | null> {
    return this.gateways[index]!.child.stop('SIGTERM')
  }
}

/** The file of docs/deploy, for the gateways of the test. */
export function haproxy(folder: string, [one, two]: readonly Ports[]): string {
  return readFileSync('docs/deploy/haproxy.cfg', 'utf8')
    .replace('bind :80', `bind ${folder}/front`)
    .replace('10.0.0.1:8080', `127.0.0.1:${one!.port} port ${one!.management}`)
    .replace('10.0.0.2:8080', `127.0.0.1:${two!.port} port ${two!.management}`)
}

export function nginx(folder: string, ports: readonly Ports[]): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(it => `${it}_temp_path ${folder}/${it};`)
  const text = readFileSync('docs/deploy/nginx.conf', 'utf8')
    .replace('http {', `http {\naccess_log off;\n${temporary.join('\n')}`)
    .replace('listen 80;', `listen unix:${folder}/front;`)
    .replaceAll('/run/castellan-out', folder)
    .replaceAll('10.0.0.1:8080', `127.0.0.1:${ports[0]!.port}`)
    .replaceAll('10.0.0.2:8080', `127.0.0.1:${ports[1]!.port}`)
  return `daemon off;\nmaster_process off;\npid ${folder}/nginx.pid;\nerror_log ${folder}/error.log;\n${text}`
}

/** @returns status and body of the answer, or what the connection failed with */
export const ask = (
  agent: Agent,
  socketPath: string,
  method: string,
  path: string,
  body?: string,
  further: Readonly<Record<string, string>> = {}
): Promise<string> =>
  new Promise(resolve => {
    const type = body === undefined ? {} : { 'content-type': 'application/json' }
    const headers = { host: 'localhost', ...type, ...further }
    const sent = request({ socketPath, agent, method, path, headers })
    sent.once('error', error => resolve(`${error.message} (${sent.reusedSocket ? 'reused' : 'new'} connection)`))
    sent.once('response', (response: IncomingMessage) => {
      let text = ''
      response.setEncoding('utf8').on('data', (data: string) => (text += data))
      response
        .once('error', error => resolve(error.message))
        .once('end', () => resolve(`${response.statusCode} ${text}`))
    })
    sent.end(body)
  })
