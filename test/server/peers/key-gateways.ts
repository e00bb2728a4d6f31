import type { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import { type Claim, LocalKeys } from '../../../src/producer/keys/keys.js'
import { decodeBody, encodeBody } from '../../../src/server/peers/body.js'
import { KeyMembers } from '../../../src/server/peers/key-members.js'
import { PeerKeys, type PeerKeysDeps } from '../../../src/server/peers/peer-keys.js'
import { AWAY, PeerError, type PeerHandler, toPeerFailure } from '../../../src/server/peers/peers.js'
import { type LogLine, recordingLogger } from '../../http/server/fixtures.js'

type Peers = PeerKeysDeps['peers']

/** A process of a gateway, as {@link GatewayPeers} shows it to those above. */
class FakePeers implements Peers {
  readonly handlers = new Map<string, PeerHandler<string>>()
  readonly whenGone: ((id: string) => void)[] = []
  readonly whenRefreshed: (() => void)[] = []

  constructor(
    readonly id: string,
    readonly net: KeyGateways
  ) {}

  get others(): readonly string[] {
    return this.net.idsFor(this.id)
  }

  serve(name: string, handler: PeerHandler<string>): void {
    this.handlers.set(name, handler)
  }

  onGone(listener: (id: string) => void): void {
    this.whenGone.push(listener)
  }

  onRefreshed(listener: () => void): void {
    this.whenRefreshed.push(listener)
  }

  processesAt(name: string) {
    const id = this.net.processAt(name)
    const isKnown = id === this.id || this.others.includes(id ?? '') || this.net.paused.has(name)
    return [{ address: '10.0.0.1', id: isKnown ? id : undefined }]
  }

  call(to: string, name: string, body: unknown): Promise<unknown> {
    return this.net.call(this.id, to, name, body)
  }
}

export interface Process {
  readonly id: string
  readonly name: string
  readonly own: LocalKeys
  readonly keys: PeerKeys
  readonly peers: FakePeers
}

const away = (): PeerError => new PeerError('it is gone', { name: 'Error', message: 'it is gone', code: AWAY })

/** Gateways in this process that share keys, and the network between them. */
export class KeyGateways {
  readonly lines: LogLine[] = []
  readonly calls: string[] = []
  /** The processes that run, by the entry of the gateway. */
  readonly running = new Map<string, Process>()
  /** Calls from one process to another fail: `FROM>TO`, by entries. */
  readonly cut = new Set<string>()
  /** Gateways that others do not call for a moment. */
  readonly paused = new Set<string>()
  /** The answers to calls with this name are lost. */
  lost: string | undefined
  /** Answers to calls with these names wait. */
  readonly held = new Map<string, Promise<void>>()
  /** Called when the disk of a gateway takes nothing. Default: throws. */
  onFailure = (error: unknown): void => {
    throw error
  }
  #started = 0

  constructor(readonly names: readonly string[]) {}

  processAt(name: string): string | undefined {
    return this.running.get(name)?.id
  }

  #nameOf(id: string): string | undefined {
    for (const { name, id: running } of this.running.values()) if (running === id) return name
    return undefined
  }

  idsFor(id: string): readonly string[] {
    const from = this.#nameOf(id)
    return [...this.running.values()]
      .filter(one => one.id !== id && !this.cut.has(`${from}>${one.name}`) && !this.paused.has(one.name))
      .map(one => one.id)
  }

  /** @param addresses the list of this gateway, if it has another one */
  start(name: string, addresses?: readonly string[]): Process {
    const process = this.create(name, addresses)
    this.appear(process)
    return process
  }

  /** A process that has not been found yet. */
  create(name: string, addresses: readonly string[] = this.names): Process {
    const number = ++this.#started
    const id = `process-${number}`
    const own = new LocalKeys({
      windowMs: 86_400_000,
      maxBytes: 1024 * 1024,
      now: Date.now,
      newSalt: () => number * 1_000,
      onFailure: error => this.onFailure(error)
    })
    const peers = new FakePeers(id, this)
    return { id, name, own, peers, keys: new PeerKeys({ own, peers, addresses, log: recordingLogger(this.lines) }) }
  }

  /** Others, and the process itself, find it at its entry. */
  appear(process: Process): void {
    this.running.set(process.name, process)
    this.refresh()
  }

  refresh(): void {
    for (const { peers } of this.running.values()) for (const listener of peers.whenRefreshed) listener()
  }

  /** The process ends without a word. @param isNoticed others find out */
  kill(name: string, isNoticed = true): void {
    const { id, keys } = this.running.get(name)!
    this.running.delete(name)
    keys.close()
    if (!isNoticed) return
    for (const { peers } of this.running.values()) for (const listener of peers.whenGone) listener(id)
  }

  /** One gateway does not reach another one, and takes it for gone. */
  lose(from: string, to: string): void {
    this.cut.add(`${from}>${to}`)
    for (const listener of this.running.get(from)!.peers.whenGone) listener(this.running.get(to)!.id)
  }

  async call(from: string, to: string, name: string, body: unknown): Promise<unknown> {
    const [fromName, toName] = [this.#nameOf(from), this.#nameOf(to)]
    if (fromName === undefined || toName === undefined || this.cut.has(`${fromName}>${toName}`)) throw away()
    this.calls.push(name)
    const handler = this.running.get(toName)!.peers.handlers.get(name)
    let answer: Buffer
    try {
      if (handler === undefined) throw new Error(`${name} is not served`)
      answer = encodeBody(await handler(decodeBody(encodeBody(body)), { from, principal: undefined, timeoutMs: 5_000 }))
    } catch (error) {
      const failure = toPeerFailure(error)
      throw new PeerError(failure.message, failure)
    }
    await this.held.get(name)
    if (this.lost === name || this.#nameOf(from) === undefined) throw away()
    return decodeBody(answer)
  }

  close(): void {
    for (const { keys } of this.running.values()) keys.close()
  }

  /** A key with this owner. */
  askedOf(owner: string): { hash: string; fingerprint: string } {
    const members = new KeyMembers(this.names, '', () => [])
    for (let nth = 0; ; nth++) {
      const hash = String.fromCharCode(nth % 256, nth >> 8, 7, 9).padEnd(16, 'x')
      if (members.ownerOf(hash) === owner) return { hash, fingerprint: 'f'.padEnd(8) }
    }
  }
}

export function keyOf(claim: Claim): ClaimedKey {
  if (claim.type !== 'claimed') throw new Error(`it is ${claim.type}`)
  return claim.key
}
