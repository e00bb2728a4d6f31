import { createHmac } from 'node:crypto'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { makeReceiptParts, type ReceiptParts } from '../../client/receipt-parts.js'
import { keepReceiptSecret, receiptSecretIn } from '../../producer/log/receipt-secret.js'
import type { Config } from '../config/config.js'
import type { WorkerPlace } from './worker-config.js'

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
