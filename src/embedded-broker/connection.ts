import type { Socket } from 'node:net'
import { pause } from '../core/ending.js'
import { ProtocolError } from '../core/errors.js'
import { errorCodes } from '../kafka/error-codes.js'
import { ProtocolReader, ProtocolWriter } from '../kafka/protocol/encoding.js'
import { type Call, type Peer, serves } from './api/api.js'
import { API_VERSIONS_KEY, apiOf, servedApis, writeApiVersions } from './api/kafka-apis.js'
import { openToStrangers } from './api/sasl.js'
import type { ServedCluster } from './cluster.js'
import { noEffects } from './faults.js'
import { FrameSplitter } from './frame-splitter.js'
import type { SaslExchange } from './sasl-mechanisms.js'
import type { ByteHolder } from './shared-capacity.js'

const PRODUCE_KEY = 0
/**
 * Limit of the response bytes that a client has not read. Beyond it, the client gets no further responses, and its
 * requests are not read.
 */
const UNREAD_ANSWER_BYTES = 1024 * 1024
/** Limits of the requests that wait for the end of a long poll. Beyond them, the socket is paused. */
const UNSERVED_FRAMES = 64
const UNSERVED_BYTES = 4 * 1024 * 1024

/** The connection of one client. As in Kafka, its requests are answered strictly one after another. */
export class ClientConnection implements Peer, ByteHolder {
  principal: string | undefined
  sasl: SaslExchange | undefined
  readonly host: string
  readonly localHost: string
  readonly #socket: Socket
  readonly #cluster: ServedCluster
  readonly #nodeId: number
  readonly #frames: FrameSplitter
  readonly #unserved: Buffer[] = []
  readonly #closeCallbacks = new Set<() => void>()
  #unservedBytes = 0
  #isBusy = false
  #isClosed = false
  #isKilled = false
  #requestTimer: NodeJS.Timeout | undefined

  constructor(socket: Socket, cluster: ServedCluster, nodeId: number, closed: () => void) {
    this.#socket = socket
    this.#cluster = cluster
    this.#nodeId = nodeId
    this.host = socket.remoteAddress ?? ''
    this.localHost = plainAddress(socket.localAddress ?? '')
    const { limits } = cluster.options
    this.#frames = new FrameSplitter(cluster.framePool, limits.maxRequestBytes)
    socket.setNoDelay(true)
    socket.setTimeout(limits.idleTimeoutMs, () => this.#idle())
    socket.on('data', chunk => this.#received(chunk))
    socket.on('drain', () => {
      cluster.held.progressed(this)
      this.#serve()
      this.#measure()
    })
    // The event `close` follows each error, so errors are ignored.
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#gone()
      closed()
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  onClose(callback: () => void): () => void {
    this.#closeCallbacks.add(callback)
    // The request was delayed, and its client has left meanwhile.
    if (this.#isClosed) queueMicrotask(() => this.#closeCallbacks.delete(callback) && callback())
    return () => this.#closeCallbacks.delete(callback)
  }

  #close(): void {
    this.#gone()
    this.#socket.destroySoon()
  }

  /**
   * Closes at once, without finishing work in progress, as when a process dies. Also called when all connections
   * together hold too many bytes, for the connection that has made no progress for the longest time.
   */
  kill(): void {
    this.#isKilled = true
    this.#socket.destroy()
    this.#gone()
  }

  /** Closes an idle connection. A client that waits for an answer (a long poll, a rebalance) is not idle. */
  #idle(): void {
    if (!this.#isBusy) this.#socket.destroy()
  }

  #gone(): void {
    this.#isClosed = true
    this.#unserved.length = 0
    this.#unservedBytes = 0
    this.#frames.clear()
    clearTimeout(this.#requestTimer)
    this.#requestTimer = undefined
    this.#cluster.held.set(this, 0)
    for (const callback of [...this.#closeCallbacks]) callback()
    this.#closeCallbacks.clear()
  }

  #received(chunk: Buffer): void {
    if (this.#isClosed || this.#socket.destroyed) return
    if (!this.#frames.push(chunk, this.#unserved)) return void this.#socket.destroy()
    this.#unservedBytes += chunk.length
    this.#serve()
    this.#measure()
  }

  /** Reports the bytes that are held for this client, and starts or stops the timer of an incomplete request. */
  #measure(): void {
    if (this.#isClosed) return
    const partial = this.#frames.heldBytes
    if (partial === 0 && this.#requestTimer) {
      clearTimeout(this.#requestTimer)
      this.#requestTimer = undefined
    } else if (partial > 0 && !this.#requestTimer) this.#startRequestTimer()
    const unserved = this.#unserved.length > 0 ? this.#unservedBytes : 0
    const unread = this.#socket.writableNeedDrain ? this.#socket.writableLength : 0
    this.#cluster.held.set(this, partial + unserved + unread)
  }

  #startRequestTimer(): void {
    this.#requestTimer = setTimeout(() => {
      // A client is not late while its socket is paused.
      if (this.#socket.isPaused()) this.#startRequestTimer()
      else this.#socket.destroy()
    }, this.#cluster.options.limits.requestTimeoutMs)
  }

  /** Answers complete requests until one of them has to wait. Their responses are sent in one write. */
  #serve(): void {
    if (this.#isBusy || this.#isClosed) return
    this.#socket.cork()
    while (!this.#isBusy && this.#unserved.length > 0 && this.#socket.writableLength < UNREAD_ANSWER_BYTES) {
      this.#serveOne(this.#unserved.shift()!)
      this.#cluster.held.progressed(this)
    }
    this.#socket.uncork()
    if (this.#unserved.length === 0) this.#unservedBytes = 0
    const hasEnough = this.#unserved.length > UNSERVED_FRAMES || this.#unservedBytes > UNSERVED_BYTES
    if (hasEnough || this.#socket.writableLength >= UNREAD_ANSWER_BYTES) this.#socket.pause()
    else if (this.#socket.isPaused()) this.#socket.resume()
  }

  #serveOne(frame: Buffer): void {
    try {
      const work = this.#handle(frame)
      if (!work) {
        // The frame can be reused, because the log has copied the records.
        if (frame.readInt16BE(0) === PRODUCE_KEY) this.#frames.recycle(frame)
        return
      }
      this.#isBusy = true
      work
        .catch(() => this.#socket.destroy())
        .finally(() => {
          this.#isBusy = false
          this.#serve()
          this.#measure()
        })
    } catch {
      // After invalid bytes, an unknown API or version, or a bug, only this connection is closed.
      this.#socket.destroy()
    }
  }

  #handle(frame: Buffer): Promise<void> | undefined {
    const reader = new ProtocolReader(frame)
    const key = reader.int16()
    const version = reader.int16()
    const correlationId = reader.int32()
    const clientId = reader.nullableString() ?? ''
    const api = apiOf(key)
    if (!api || !serves(api, version)) return this.#refuse(key, correlationId)
    if (this.#isStranger && !openToStrangers.has(key)) throw new ProtocolError('authentication comes first')
    const isFlexible = api.flexibleFrom !== undefined && version >= api.flexibleFrom
    if (isFlexible) reader.becomeFlexible().tags()
    const request = api.read(reader, version)
    reader.tags()
    this.#cluster.count(api.name, this.#nodeId)
    const targets = () => api.targets?.(request, this.#cluster, this.#nodeId) ?? []
    const faults = this.#cluster.faults.judge(api.name, this.#nodeId, targets)
    const response = new ProtocolWriter().int32(0).int32(correlationId)
    if (isFlexible) response.becomeFlexible()
    // The response to ApiVersions has the oldest header, because the client does not know the versions yet.
    if (key !== API_VERSIONS_KEY) response.tags()
    const cluster = this.#cluster
    const call: Call = {
      version,
      nodeId: this.#nodeId,
      clientId,
      cluster,
      peer: this,
      faults,
      response,
      respond: true,
      hangUp: false
    }
    const answer = () => {
      const work = api.answer(request, call)
      if (work) return work.then(() => void response.tags(api.tagged))
      response.tags(api.tagged)
      return undefined
    }
    if (faults !== noEffects) return this.#answerWithFaults(answer, call)
    const work = answer()
    if (work) return work.then(() => this.#sendAnswer(call))
    this.#sendAnswer(call)
    return undefined
  }

  get #isStranger(): boolean {
    return this.#cluster.options.saslMechanisms !== undefined && this.principal === undefined
  }

  /** Refuses an unknown version. Only ApiVersions is answered, with the list of versions in its oldest form. */
  #refuse(key: number, correlationId: number): undefined {
    if (key !== API_VERSIONS_KEY) return void this.#socket.destroy()
    this.#cluster.count('ApiVersions', this.#nodeId)
    const response = new ProtocolWriter().int32(0).int32(correlationId)
    writeApiVersions(response, servedApis, errorCodes.UNSUPPORTED_VERSION, 0)
    this.#send(response)
  }

  #sendAnswer(call: Call): void {
    if (call.respond) this.#send(call.response)
    if (call.hangUp) this.#close()
  }

  async #answerWithFaults(answer: () => Promise<void> | undefined, call: Call): Promise<void> {
    const { delayMs, answerDelayMs, transport } = call.faults
    if (delayMs > 0) await pause(delayMs)
    if (this.#isKilled) return
    if (transport?.type === 'dropRequest') return
    if (transport?.type === 'close' && !transport.afterWork) return void this.#socket.destroy()
    await answer()
    if (answerDelayMs > 0) await pause(answerDelayMs)
    switch (transport?.type) {
      case undefined:
        return this.#sendAnswer(call)
      case 'dropResponse':
        return
      case 'close':
        return void this.#socket.destroy()
      case 'truncate':
        this.#socket.write(frameOf(call.response).subarray(0, transport.bytes))
        return this.#close()
      case 'corrupt':
        if (call.respond) this.#socket.write(transport.mutate(frameOf(call.response)))
    }
  }

  #send(response: ProtocolWriter): void {
    if (this.#socket.destroyed) return
    for (const chunk of sealed(response)) this.#socket.write(chunk)
  }
}

/** Returns the plain address of an IPv4 client. On a socket for IPv4 and IPv6 it has the prefix `::ffff:`. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, '')

/** Finishes a response, with its length first. */
function sealed(response: ProtocolWriter): readonly Buffer[] {
  const sizeBytes = response.sizeBytes - 4
  const chunks = response.finish()
  chunks[0]!.writeInt32BE(sizeBytes, 0)
  return chunks
}

const frameOf = (response: ProtocolWriter): Buffer => Buffer.concat(sealed(response))
