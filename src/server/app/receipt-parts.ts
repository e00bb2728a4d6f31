import { createHash, createHmac, randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { performanceClock } from '../../core/clocks.js'
import type { DurableReceiptSettings } from '../../producer/disk/durable-queue.js'
import { keepReceiptSecret, receiptSecretIn } from '../../producer/log/receipt-secret.js'
import { MemoryReceipts } from '../../producer/memory/memory-receipts.js'
import { ISSUER_BYTES, PLACE_BYTES, ReceiptKey } from '../../producer/receipts/receipt-ids.js'
import { Receipts } from '../../producer/receipts/receipts.js'
import type { ReceiptSettings } from '../../producer/receipts/settings.js'
import { ReceiptDesk } from '../../verbs/receipts.js'
import type { Config } from '../config/config.js'
import type { WorkerPlace } from './worker-config.js'

export interface ReceiptParts {
  readonly desk: ReceiptDesk
  readonly ofLogs: DurableReceiptSettings
  readonly ofMemory: MemoryReceipts
}

/**
 * The secret of the receipts of a gateway: all of its workers have the same one, and all gateways with a common token.
 * Otherwise the directory of the durable log has it, where there is one.
 */
export function receiptSecretOf({ peers, wal }: Pick<Config, 'peers' | 'wal'>): Buffer {
  if (peers.token === undefined) return receiptSecretIn(wal.directory)
  return createHmac('sha256', peers.token).update('castellan receipts 1').digest()
}

/** @returns `undefined`: receipts are switched off */
export function receiptPartsOf(config: Config, worker: WorkerPlace | undefined): ReceiptParts | undefined {
  const { receipts: limits, wal, peers } = config
  if (limits.maxBytes === 0) return undefined
  const secret = Buffer.from(worker?.receiptSecret ?? receiptSecretOf(config))
  const root = worker?.walRoot ?? wal.directory
  const keepSecret = (): void => {
    if (peers.token === undefined) keepReceiptSecret(root, secret)
  }
  const place = [hostname(), peers.listen ?? '', resolve(root), worker?.number ?? 1].join(' ')
  return makeReceiptParts(limits, secret, keepSecret, place)
}

/** @param place names the process, the same at each of its starts */
export function makeReceiptParts(
  limits: ReceiptSettings,
  secret: Buffer,
  keepSecret: () => void,
  place: string
): ReceiptParts {
  const receipts = new Receipts(new ReceiptKey(secret))
  const where = createHash('sha256').update(place).digest().subarray(0, PLACE_BYTES)
  const issuer = receipts.issuer('memory', Buffer.concat([where, randomBytes(ISSUER_BYTES - PLACE_BYTES)]))
  const ofMemory = new MemoryReceipts({
    issuer,
    retentionMs: limits.retentionMs,
    clock: performanceClock,
    now: Date.now
  })
  receipts.add(ofMemory)
  return { desk: new ReceiptDesk(receipts), ofLogs: { limits, receipts, keepSecret }, ofMemory }
}
