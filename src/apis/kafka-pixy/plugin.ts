import type { IncomingMessage } from 'node:http'
import { registerScrapedGauge } from '../../core/metrics/scraped-gauge.js'
import { type ApiContext, type ApiPlugin, admissionOf, capacityWaitMsOf } from '../../http/api/api.js'
import { answeredBefore, byHand, refusedBy } from '../../http/api/by-hand.js'
import { nameRoutes } from '../../http/api/route-names.js'
import { Answers } from '../../http/exchange/answers.js'
import { isFormType } from './content.js'
import { Endpoint } from './endpoint.js'
import { isProduce } from './is-produce.js'
import { PixyAnswers } from './pixy-answers.js'
import { sentParts } from './pixy-request.js'
import type { KafkaPixySettings } from './settings.js'
import { nameOf, targetOf } from './target.js'

/** The routes of Kafka-Pixy. */
export const kafkaPixyPlugin =
  (context: ApiContext<KafkaPixySettings>): ApiPlugin =>
  app => {
    const { settings, access, gateways, log, now, lifetime, metrics } = context
    const answers = new PixyAnswers(new Answers(now))
    const maxBodyBytes = app.initialConfig.bodyLimit ?? settings.maxBodyBytes
    const endpoint = new Endpoint(settings, app.prefix, maxBodyBytes, {
      capacityWaitMs: capacityWaitMsOf(context),
      access,
      answers,
      gateways,
      log
    })
    lifetime.onDrain(async () => endpoint.stop())
    registerScrapedGauge(metrics.registry, 'kafka_pixy_open_polls', 'Clients that wait for a message', 'sum', () => [
      { labels: {}, value: endpoint.openPolls }
    ])
    registerScrapedGauge(metrics.registry, 'kafka_pixy_open_tails', 'Clients that follow a topic', 'sum', () => [
      { labels: {}, value: endpoint.openTails }
    ])
    const receive = endpoint.receive.bind(endpoint)
    const atOnce = byHand(receive)
    const whenAdmitted = byHand(receive, context.admission)
    const whenAsyncAdmitted = byHand(receive, admissionOf(context, settings.durability))
    nameRoutes(app, request => nameOf(targetOf(sentParts(request, app.prefix).path)))
    app.addHook('preParsing', function (request, reply, payload, done) {
      const entry = !isProduce(request.raw) ? atOnce : mayBeSync(request.raw) ? whenAdmitted : whenAsyncAdmitted
      entry.call(this, request, reply, payload, done)
    })
    app.all('/*', answeredBefore)
    app.setNotFoundHandler(answeredBefore)
    app.setErrorHandler(refusedBy((asked, error) => endpoint.refuse(asked, error)))
  }

/**
 * Whether the record of a produce request may have to be in memory until Kafka has it. A form may have the parameter `sync`,
 * which is known too late: it does not wait for the disk, and is refused at once where it turns out to need it.
 */
const mayBeSync = ({ url = '', headers }: IncomingMessage): boolean =>
  /[?&]sync(?:[=&]|$)/.test(url) || isFormType(headers['content-type'])
