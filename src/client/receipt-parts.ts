import { createHash, randomBytes } from 'node:crypto'
import { performanceClock } from '../core/clocks.js'
import type { DurableReceiptSettings } from '../producer/disk/durable-backlog.js'
import { MemoryReceipts } from '../producer/memory/memory-receipts.js'
import { ISSUER_BYTES, PLACE_BYTES, ReceiptKey } from '../producer/receipts/receipt-ids.js'
import { Receipts } from '../producer/receipts/receipts.js'
import type { ReceiptSettings } from '../producer/receipts/settings.js'
import { ReceiptDesk } from '../verbs/receipts.js'

export interface ReceiptParts {
  readonly desk: ReceiptDesk
  readonly ofLogs: DurableReceiptSettings
  readonly ofMemory: MemoryReceipts
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
