import { connect } from 'node:net'
import { expect } from 'chai'
import { urlProblem } from '../../../src/webhooks/endpoint/webhook-url.js'
import { SeededRandom, testSeed } from '../../support/random.js'
import { embeddedIn, hostsOf } from './address-forms.js'
import { answerOf, attempt, EndpointStage, type Receiver } from './endpoint-stage.js'
import { NameServer } from './name-server.js'

const TRIES = 10_000
const AT_ONCE = 16
/** Longer than the answer of a name server is kept. */
const LATER_MS = 6_000

/** Networks that are allowed. Nothing is connected to outside of loopback: the connector of the test takes their place. */
const NETWORKS = ['127.0.0.1/32', '8.8.0.0/16', '2606:4700::/32']
const PLACES = [
  { host: '127.0.0.1', port: 8_080 },
  { host: '0.0.0.0', port: 8_081 },
  { host: '8.8.1.1', port: 9_092 },
  { host: 'broker.example', port: 9_093 }
]
const HOST_ADDRESSES = ['127.0.0.1', '::1', '10.0.0.5', '8.8.7.7']
const FORBIDDEN = [
  ...['127.0.0.2', '127.0.0.9', '127.255.255.254', '0.0.0.0', '10.0.0.5', '169.254.169.254', '168.63.129.16'],
  ...['192.168.1.1', '172.16.0.1', '100.64.0.1', '224.0.0.1', '255.255.255.255', '8.8.7.7', '1.1.1.1']
]
const ALLOWED = ['127.0.0.1', '8.8.1.1', '8.8.2.2', '2606:4700::1']
const PORTS = [80, 443, 9_000, 9_001, 8_080, 8_081, 9_092, 9_093, 22, 25, 1_023, 0]

interface Asked {
  readonly host: string
  readonly port: number
}

/** Written by hand, and not by what it checks. */
function isForbidden({ host, port }: Asked): boolean {
  const known =
    /^(127\.0\.0\.1|8\.8\.\d+\.\d+|2606:4700:[\da-f:]+|::ffff:(7f00:1|808:[\da-f]+|127\.0\.0\.1|8\.8\.\d+\.\d+))$/i
  if (!known.test(host) || (port !== 80 && port !== 443 && port < 1_024)) return true
  const v4 = host.replace(/^::ffff:(?=\d+\.)/i, '').replace(/^::ffff:7f00:1$/i, '127.0.0.1')
  if (v4 === '8.8.7.7' || /^::ffff:808:707$/i.test(host)) return true
  if (v4 === '127.0.0.1') return port === 8_080 || port === 8_081
  const isBroker = v4 === '8.8.1.1' || /^::ffff:808:101$/i.test(host)
  return (isBroker && port === 9_092) || (v4 === '8.8.2.2' && port === 9_093)
}

/** The attacker has a name server and an endpoint, and chooses the url. */
class Attacker {
  readonly #random: SeededRandom
  readonly #names = new Map<string, string[][]>()
  #made = 0

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
  }

  /** What a name has the next time that it is asked for. The last one stays. */
  addressesOf(name: string): readonly string[] {
    if (name === 'broker.example') return ['8.8.2.2']
    const answers = this.#names.get(name) ?? [[]]
    return (answers.length > 1 ? answers.shift() : answers[0])!
  }

  url(): string {
    const random = this.#random
    const scheme = random.next() < 0.9 ? 'http' : 'HtTp'
    const path = random.pick(['', '/', '/a?b=@127.0.0.2', '/..//127.0.0.2/'])
    return `${scheme}:${random.pick(['//', '//', '//', '/', '', '\\\\'])}${this.#authority()}:${random.pick(PORTS)}${path}`
  }

  #authority(): string {
    const random = this.#random
    const forbidden = random.pick(FORBIDDEN)
    const host = random.pick(hostsOf(forbidden))
    const kind = random.between(0, 9)
    if (kind === 0)
      return `${random.pick(ALLOWED.slice(0, 3))}${random.pick(['@', ':80@', '\\@', '#@', '%40', '%00', '\t'])}${host}`
    if (kind === 1) return `${host}${random.pick(['@', '#@', '%2f', '.', '..'])}${random.pick(ALLOWED.slice(0, 3))}`
    if (kind <= 3) return host
    if (kind === 4) return random.pick(hostsOf(random.pick(ALLOWED.slice(0, 3))))
    if (kind === 5)
      return random.pick([
        'localhost',
        'LOCALHOST.',
        'a.localhost',
        'broker.example',
        '[::1]',
        '[::]',
        '[fe80::1%25lo]',
        '0'
      ])
    if (kind === 6) return this.#name([this.#evil(), ALLOWED[0]!, this.#evil()])
    if (kind === 7) return this.#name([random.pick(ALLOWED)], [this.#evil()], [ALLOWED[1]!, this.#evil()])
    if (kind === 8) return this.#name([this.#evil()], [random.pick(ALLOWED)], [this.#evil()])
    return `${'x'.repeat(random.between(1, 70))}.`.repeat(random.between(1, 12)) + this.#name([this.#evil()])
  }

  /** An address that is forbidden, in a form of IPv4 or IPv6. */
  #evil(): string {
    const forbidden = this.#random.pick(FORBIDDEN)
    return this.#random.pick([forbidden, '::', '::1', ...embeddedIn(forbidden)])
  }

  #name(...answers: string[][]): string {
    const name = `n${this.#made++}.example`
    // Those of both families are asked for at once.
    this.#names.set(
      name,
      answers.flatMap(answer => [answer, answer])
    )
    return name
  }
}

describe('an attacker with a name server and an endpoint', () => {
  let stage: EndpointStage
  let receiver: Receiver
  let names: NameServer

  beforeEach(async () => {
    stage = new EndpointStage()
    receiver = await stage.receiver()
    names = await NameServer.start()
  })
  afterEach(async () => {
    await stage.close()
    names.close()
  })

  it(`has no forbidden address connected to in ${TRIES} tries`, async () => {
    const seed = testSeed()
    const attacker = new Attacker(seed)
    names.answer = name => ({ addresses: attacker.addressesOf(name) })
    let elapsedMs = 0
    const asked: Asked[] = []
    stage.places = PLACES
    stage.share(
      { networks: NETWORKS },
      {
        clock: () => performance.now() + elapsedMs,
        createResolver: names.createResolver,
        lookUpPlace: name => names.createResolver().resolve4(name),
        hostAddresses: () => HOST_ADDRESSES,
        connect: place => {
          asked.push(place)
          // At some there is nothing, and the next address is tried.
          return connect({ host: '127.0.0.1', port: asked.length % 4 === 0 ? 1 : receiver.port })
        }
      }
    )
    receiver.answer = ({ socket }) =>
      void socket.end('HTTP/1.1 307 x\r\nLocation: http://127.0.0.2:9000/\r\nContent-Length: 0\r\n\r\n')
    const answers = new Map<number | string, number>()
    let left = TRIES
    const attack = async (): Promise<void> => {
      while (left-- > 0) {
        const url = attacker.url()
        if (urlProblem(url) !== undefined) {
          answers.set('url', (answers.get('url') ?? 0) + 1)
          continue
        }
        const endpoint = stage.endpoint(url)
        for (let at = 0; at < 3; at++) {
          const answer = answerOf(await endpoint.send(attempt({ timeoutMs: 30_000 })))
          answers.set(answer, (answers.get(answer) ?? 0) + 1)
          elapsedMs += LATER_MS
        }
        endpoint.close()
        const wrong = asked.splice(0).filter(isForbidden)
        expect(wrong, `seed ${seed}: ${url}`).to.deep.equal([])
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, attack))
    // All that can become of an attempt has: the test would see nothing if all were refused.
    for (const answer of ['url', 'address', 'name', 'refused', 307])
      expect(answers.get(answer), String(answer)).to.be.above(100)
    expect([...answers.keys()].sort()).to.deep.equal([307, 'address', 'name', 'refused', 'url'])
  })
})
