import { expect } from 'chai'
import { kprf } from '../../../src/apis/kprf/api.js'
import { mountApis } from '../../../src/server/app/mount-apis.js'
import { loadConfig } from '../../../src/server/config/config.js'

describe('an API of the gateway', () => {
  for (const [ofServer, ofApi] of [
    ['1000', '10'],
    ['10', '1000']
  ] as const) {
    it(`takes bodies of 10 bytes where its own limit is ${ofApi} and that of the server ${ofServer}`, () => {
      const environment = { CASTELLAN_HTTP_MAX_BODY_BYTES: ofServer, CASTELLAN_APIS_KPRF_MAX_BODY_BYTES: ofApi }
      const [mount] = mountApis([kprf], loadConfig({ environment }), {} as never, {} as never)
      expect(mount!.maxBodyBytes).to.equal(10)
    })
  }
})
