import { expect } from 'chai'
import { receiptSecretOf } from '../../../src/server/app/receipt-secret.js'
import type { Config } from '../../../src/server/config/config.js'

describe('the secret of receipts', () => {
  it('is for a token the one that earlier builds had for the same peers.secret, so receipts that clients have stay valid', () => {
    const peers = { token: 'a secret of more than thirty-two bytes' } as unknown as Config['peers']
    expect(receiptSecretOf({ peers, wal: {} as Config['wal'] }).toString('hex')).to.equal(
      '9df1b148c868be7fdf351bd5154a2aed21b76fd3d092064a23dcb91eaaba5ff2'
    )
  })
})
