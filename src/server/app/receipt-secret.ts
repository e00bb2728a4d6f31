import { createHmac } from 'node:crypto'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { makeReceiptParts, type ReceiptParts } from '../../client/receipt-parts.js'
import { keepReceiptSecret, receiptSecretIn } from '../../producer/log/receipt-secret.js'
import type { Config } from '../config/config.js'

/**
 * The secret of the receipts of a gateway: all gateways with a common token have the same one.
 * Otherwise the directory of the durable log has it, where there is one.
 */
export function receiptSecretOf({ peers, wal }: Pick<Config, 'peers' | 'wal'>): Buffer {
  if (peers.token === undefined) return receiptSecretIn(wal.directory)
  return createHmac('sha256', peers.token).update('castellan receipts 1').digest()
}

/** @returns `undefined`: receipts are switched off */
export function receiptPartsOf(config: Config): ReceiptParts | undefined {
  const { receipts: limits, wal, peers } = config
  if (limits.maxBytes === 0) return undefined
  const secret = receiptSecretOf(config)
  const keepSecret = (): void => {
    if (peers.token === undefined) keepReceiptSecret(wal.directory, secret)
  }
  // The 1 was the number of the only process, when a gateway could have several: receipts of then are still its own.
  const place = [hostname(), peers.listen ?? '', resolve(wal.directory), 1].join(' ')
  return makeReceiptParts(limits, secret, keepSecret, place)
}
