# make search: what one choice after another is worth, each with three seeds, all else alike. It needs
# the pool linear-manifest of `make model`, and goes on where it stopped.
SEARCH_RUNS := $(MODEL_WORK)/search
SEARCH_SEEDS ?= 1 2 3
# NAME:SETTING+SETTING...
SEARCH := \
  middle: \
  pooling-average:model.pooling=average \
  pooling-attention:model.pooling=attention \
  p2sgrad:loss.name=p2sgrad+model.head=cosine \
  one-class:loss.name=one-class+model.head=cosine \
  bce-half:loss.spoof_weight=0.5 \
  bce-double:loss.spoof_weight=2.0 \
  sam:optimiser.sam_radius=0.05 \
  no-average:optimiser.average_momentum=0.0 \
  uneven-sources:pool.even_sources=false \
  narrow:model.width=0.25 \
  wide:model.width=0.75 \
  shallow:model.stages=[24,40,64]+model.pools=[1,1,1] \
  deep:model.stages=[24,40,64,64,64]+model.pools=[1,1,1,1,0] \
  tdnn:model.network=tdnn+model.stages=[24,36,44,128]+model.blocks=2

search: $(VENV)/test.stamp  ## what pooling, loss, SAM, width and depth are worth (hours)
	@for seed in $(SEARCH_SEEDS); do for change in $(SEARCH); do \
	  out=$(SEARCH_RUNS)/$${change%%:*}-$$seed; \
	  [ -e $$out/report-val.json ] || $(TRAIN) train $$out --config training/recipes/search.yaml \
	    --resume --set seed=$$seed \
	    $$(printf '%s' "$${change#*:}" | tr '+' '\n' | sed 's/^/--set /') || exit 1; \
	done; done
