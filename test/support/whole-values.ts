/**
 * Messages of failed assertions show more of the values than chai does by itself: the log of a CI run is often all that is
 * left of a failure, and `[ Array(1) ]` does not say what was in it.
 */
import { config } from 'chai'

config.truncateThreshold = 2_000
