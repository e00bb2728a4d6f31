import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Children, COMMAND } from '../../cli/child.js'
import { walDirectoryOf } from '../../support/wal-directory.js'
import { freePorts } from '../real-kafka/ports.js'

const CLIENTS = 8
const TOKEN = 'x'.repeat(32)

/** A gateway that a {@link Holder} has started. */
class Activated {
  said = ''
  pid = 0
  exitCode: number | undefined
  readonly #changed: () => void
  #whenChanged: Promise<void>

  constructor() {
    let changed = (): void => undefined
    const next = (): Promise<void> => new Promise(resolve => (changed = resolve))
    this.#whenChanged = next()
    this.#changed = () => {
      const tell = changed
      this.#whenChanged = next()
      tell()
    }
  }

  heard(line: string): void {
    const [, what, number] = /^(pid|exit) (\d+)$/.exec(line) ?? []
    if (what === 'pid') this.pid = Number(number)
    else if (what === 'exit') this.exitCode = Number(number)
    else this.said += `${line}\n`
    this.#changed()
  }

  async ended(): Promise<number> {
    while (this.exitCode === undefined) await this.#whenChanged
    return this.exitCode
  }

  stop(): Promise<number> {
    process.kill(this.pid, 'SIGTERM')
    return this.ended()
  }

  async untilReady(management: number): Promise<this> {
    while (this.exitCode === undefined) {
      const answer = await fetch(`http://127.0.0.1:${management}/ready`).catch(() => undefined)
      if (answer?.status === 200) return this
      await sleep(50)
    }
    throw new Error(this.said)
  }
}

/** Holds a socket that listens, takes nothing from it, and gives it to gateways, as systemd does. */
class Holder {
  readonly port: number
  readonly #shell: ChildProcess
  readonly #gateways: Activated[] = []

  private constructor(port: number, shell: ChildProcess) {
    this.port = port
    this.#shell = shell
    createInterface({ input: shell.stdout! }).on('line', line => {
      const at = line.indexOf(' ')
      this.#gateways[Number(line.slice(0, at))]?.heard(line.slice(at + 1))
    })
  }

  static async open(): Promise<Holder> {
    const server = createServer()
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 })
    await once(server, 'listening')
    const { _handle: handle } = server as unknown as { readonly _handle: { readonly fd: number } }
    const { port } = server.address() as AddressInfo
    const { PATH = '', HOME = '' } = process.env
    const stdio = ['pipe', 'pipe', 'inherit', handle.fd] as const
    const shell = spawn('sh', ['-c', 'while read -r line; do eval "$line" & done'], {
      stdio: [...stdio],
      env: { PATH, HOME }
    })
    // The shell has it now.
    await new Promise(resolve => server.close(resolve))
    return new Holder(port, shell)
  }

  start(management: number, variables: Readonly<Record<string, string>>, port = this.port): Activated {
    const number = this.#gateways.length
    const gateway = new Activated()
    this.#gateways.push(gateway)
    const given = Object.entries({
      CASTELLAN_SHUTDOWN_DRAIN_MS: '300',
      CASTELLAN_WAL_DIRECTORY: walDirectoryOf('gateways'),
      ...variables
    }).map(([name, value]) => `${name}=${value}`)
    const command = [process.execPath, ...COMMAND, 'serve', '--port', port, '--management-port', management]
    const run = `sh -c 'echo "pid $$"; export LISTEN_PID=$$ LISTEN_FDS=1 ${given.join(' ')}; exec ${command.join(' ')}' 2>&1`
    this.#shell.stdin!.write(`{ ${run}; echo "exit $?"; } | sed -u "s/^/${number} /"\n`)
    return gateway
  }

  async close(): Promise<void> {
    for (const { pid, exitCode } of this.#gateways) if (pid > 0 && exitCode === undefined) process.kill(pid, 'SIGKILL')
    this.#shell.kill('SIGKILL')
    await once(this.#shell, 'exit')
  }
}

/** Clients that open a connection for each request. */
class NewConnections {
  readonly failed: string[] = []
  readonly acknowledged: string[] = []
  #isOver = false

  constructor(readonly port: number) {}

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: CLIENTS }, (_, client) => this.#client(client)))
  }

  /** Resolves when so many more are acknowledged. */
  async untilAcknowledged(more: number): Promise<void> {
    for (
      const enough = this.acknowledged.length + more;
      this.acknowledged.length < enough && this.failed.length === 0;
    )
      await sleep(20)
  }

  end(): void {
    this.#isOver = true
  }

  async #client(client: number): Promise<void> {
    for (let turn = 0; !this.#isOver; turn++) {
      const value = `${client}-${turn}`
      const answer = await this.#push(value)
      if (answer === '200 {"status":"ok","errors":[]}') this.acknowledged.push(value)
      else this.failed.push(answer)
      await sleep(5)
    }
  }

  #push(data: string): Promise<string> {
    const body = JSON.stringify({ records: [{ topic: 'orders', key: data, data }], wait_for_send: true })
    return new Promise(resolve => {
      const headers = { 'content-type': 'application/json', connection: 'close' }
      const sent = request({ port: this.port, method: 'POST', path: '/kprf/push', headers, agent: new Agent() })
      sent.once('error', error => resolve(error.message))
      sent.once('response', response => {
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => (text += part))
        response.once('end', () => resolve(`${response.statusCode} ${text}`))
      })
      sent.end(body)
    })
  }
}

describe('a socket that gateways are given', function () {
  this.timeout(180_000)
  const children = new Children()
  let brokers: string
  let holder: Holder

  beforeEach(async () => {
    brokers = (await children.start(['broker', '--port', '0']).line(/127\.0\.0\.1:\d+/))[0]
    holder = await Holder.open()
  })
  afterEach(async () => {
    await holder.close()
    await children.stopAll()
  })

  it('is refused where the settings say another address', async () => {
    const [management = 0, other = 0] = await freePorts(2)
    const gateway = holder.start(management, { CASTELLAN_BROKERS: brokers }, other)
    expect(await gateway.ended()).to.be.above(0)
    expect(gateway.said).to.contain(`(LISTEN_FDS) listens on 127.0.0.1 port ${holder.port}, and the settings say`)
  })

  it('refuses no new connection while two gateways are restarted in turn', async () => {
    const ports = await freePorts(4)
    const begin = (at: number): Promise<Activated> =>
      holder
        .start(ports[at]!, {
          CASTELLAN_BROKERS: brokers,
          CASTELLAN_APIS_KPRF_MESSAGE_TIMEOUT_MS: '30000',
          CASTELLAN_PEERS_ADDRESSES: `127.0.0.1:${ports[2]},127.0.0.1:${ports[3]}`,
          CASTELLAN_PEERS_LISTEN: `127.0.0.1:${ports[2 + at]}`,
          CASTELLAN_PEERS_TOKEN: TOKEN
        })
        .untilReady(ports[at]!)
    const gateways = await Promise.all([begin(0), begin(1)])
    const clients = new NewConnections(holder.port)
    const running = clients.run()
    for (const at of [0, 1]) {
      await clients.untilAcknowledged(100)
      expect(await gateways[at]!.stop()).to.equal(0)
      await clients.untilAcknowledged(100)
      gateways[at] = await begin(at)
    }
    await clients.untilAcknowledged(100)
    clients.end()
    await running
    expect(clients.failed).to.deep.equal([])
    const reader = children.start(['read', 'orders', '--brokers', brokers])
    await reader.exit()
    expect(reader.lines.sort()).to.deep.equal(clients.acknowledged.sort())
  })
})
