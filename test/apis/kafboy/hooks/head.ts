import { defineKafboyHooks } from '../../../../src/apis/kafboy/hooks/hooks.js'

/** Answers what a hook sees of a request beside its body. It has no hook for errors. */
export default defineKafboyHooks({
  editJson: ({ topic, mode, req: { requestId, method, url, headers, remoteAddress } }) =>
    topic === 'refused'
      ? { error: 'refused' }
      : {
          status: 200,
          body: {
            topic,
            mode,
            requestId,
            method,
            url,
            remoteAddress,
            type: headers['content-type'],
            tag: headers['x-tag']
          }
        }
})
